"""The type checker that `conftest.py` puts on the library's functions: an int passes for a float."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
