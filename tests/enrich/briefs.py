"""Invented briefs for the enrichment's tests: two events told twice, a copy and its edits, weekly templates, strangers."""

from __future__ import annotations

FERRY = (
    "Ferry with 212 people aground off Halmeer",
    "The ferry Annelie Brandt ran aground on the Kessel sandbank off Halmeer late on Tuesday with 212 people on board. "
    "Captain Joost Verwey said the steering had failed minutes after the ship left the harbour. Nobody was hurt, the "
    "Halmeer coast guard said, and three lifeboats took the passengers back to the quay before midnight. The operator, "
    "Noorder Lijn, has stopped its two sister ships until their rudders have been looked at. Divers found a broken "
    "hydraulic pipe on Wednesday morning, and the harbour master expects the tide of Friday to lift the ferry off.",
)
FERRY_AGAIN = (
    "Passengers brought ashore after steering failure near Halmeer",
    "All 212 passengers of the Annelie Brandt are safe after the ferry got stuck on a sandbank outside Halmeer. Rescuers "
    "needed four hours to bring everyone to land in lifeboats, a spokesman for the coast guard said. According to "
    "Captain Joost Verwey the rudder no longer answered shortly after departure. Noorder Lijn, which runs the line, "
    "keeps its other ferries in port for inspections. A tug is to pull the ship from the Kessel bank when the water is "
    "high enough at the end of the week.",
)
MINE = (
    "Court in Orvany fines mine owner over tailings dam",
    "A court in Orvany fined the copper company Tessaly Metals 48 million crowns on Monday for the leak of its tailings "
    "dam. Judge Marta Oleander said the managers had known of the cracks for two years and had ordered no repair. The "
    "spill killed the fish of the Issa river along 60 kilometres and closed the waterworks of four towns. Tessaly Metals "
    "said it would appeal. Farmers below the dam, who had asked for 90 million crowns, called the sum a bargain for the "
    "owner and a bill for the valley.",
)
MINE_AGAIN = (
    "Tessaly Metals to pay 48 million crowns for poisoned river",
    "Judge Marta Oleander has ordered Tessaly Metals to pay 48 million crowns because of the burst dam at its copper "
    "mine. Cracks in the dam above Orvany were reported two years before the leak and left alone, the ruling says. Along "
    "60 kilometres of the Issa no fish survived. The company wants to take the case to a higher court, while farmers in "
    "the valley complain that they had claimed almost twice as much.",
)
THEATRE = (
    "Municipal theatre of Lund opens without a roof",
    "The municipal theatre of Lund opened its season on Sunday under the open sky. The roofers had gone bankrupt in the "
    "spring, and director Pia Sandell decided that the audience could bring umbrellas. The first evening was dry. Tickets "
    "for the open weeks cost half the usual price and are almost sold out until the end of October.",
)


def weekly(week: int, wheat: float, barley: float, rye: float) -> tuple[str, str]:
    """A templated brief: the same words every week, other figures."""
    return (
        f"Grain prices, week {week}",
        f"Prices at the grain exchange of Varnholm in week {week}: bread wheat closed at {wheat} crowns a tonne, feed "
        f"barley at {barley} crowns and rye at {rye} crowns. Turnover was ordinary and most deliveries went to mills in "
        f"the south of the country. Traders expect little change before the new harvest. The exchange publishes its "
        f"prices every Friday at noon; quantities are in tonnes of a thousand kilograms, free at the gate of the mill, "
        f"value added tax not included.",
    )


def cut(text: str, share: float) -> str:
    """The beginning of a text, whole words only."""
    parts = text.split()
    return " ".join(parts[: round(len(parts) * share)])
