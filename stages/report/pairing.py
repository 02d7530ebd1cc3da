"""Measured cells beside the papers': paired only where they mean the same thing."""

from __future__ import annotations

import pandas as pd

from stages.report.published import KEY, THROUGHPUT, UNKNOWN
from stages.report.replicates import FEW

# A published cell and a measured one are the same quantity only if all of these are equal.
SAME = ["benchmark", "setting", "metric", "protocol"]


def pair(measured: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One row a published cell that was measured under the same protocol.

    Args:
        measured: SAME, value, low, high, count, method. Where two rows are the same quantity (the
            setting 112&112 and the row of the descriptor it uses) the first one stands.
        published: as `published.read_published` gives it.

    Returns:
        KEY, protocol, source, `published`, `measured`, low, high, count, `few` (it rests on fewer
        than ten errors), `difference` (measured minus published) and `within` (the published value
        lies in the measured 95 % interval).
        Every cell keeps its paper and table: two tables that quote one cell give two rows.
    """
    known = published[
        published["value"].notna() & ~published["protocol"].isin([UNKNOWN, THROUGHPUT])
    ]
    ours = measured.assign(few=measured["method"].str.contains(FEW, regex=False))
    ours = ours[[*SAME, "value", "low", "high", "count", "few"]].drop_duplicates(SAME)
    ours = ours.rename(columns={"value": "measured"})
    theirs = known.rename(columns={"value": "published"})
    paired = theirs.merge(ours, on=SAME, how="inner", validate="many_to_one")
    paired["difference"] = paired["measured"] - paired["published"]
    paired["within"] = (paired["low"] <= paired["published"]) & (
        paired["published"] <= paired["high"]
    )
    numbers = ["published", "measured", "low", "high", "count", "few", "difference", "within"]
    return paired[[*KEY, "protocol", "source", *numbers]]
