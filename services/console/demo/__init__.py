"""The bundled news site, a partner to receive its briefs, and pages in bulk: everything `briefwire demo` talks to.

    briefs/*/*.md | content -> Brief | pages -> markup | site (HTTP, releases over time) -> the wire -> receiver (HTTP)

All text is invented here, about a country that does not exist. All servers listen on loopback only.
"""
