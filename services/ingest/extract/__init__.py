"""One page in, one Draft out: the extraction engine.

    bytes | charset.decode          # text, with the evidence for its character set
      | parse.page                  # caps, tree (lxml; BeautifulSoup for what lxml would lose), cut into pieces by `blocks`
      | evidence.gather             # what the page says about itself: meta, JSON-LD, microdata
      | related.find                # the blocks of similar articles
      | choose.choose               # which pieces are the article's own, by learnt weights (features, model)
      | body.assemble               # typed blocks; images and embeds beside them
      | fields, dates, verdict      # title, authors, moments, and whether this is an article at all
      | profiled.apply              # a publisher profile's selectors overrule, where there is one

Pure: no clock, no network; `fetched_at` is an argument. The only error is `Rejected`, with a reason code.
"""

from __future__ import annotations

from services.ingest.extract.door import PageInput, draft
from services.ingest.extract.plaintext import draft_text

__all__ = ["PageInput", "draft", "draft_text"]
