"""Whether the store that a page was made of is still what stands there: ids of another one mean nothing."""

from __future__ import annotations

from tabard.consumers.store.ports import StoreReader


def place_of(reader: StoreReader, row_id: int) -> str:
    """The store, and the record with the highest id up to one, in a word for `holds` that nobody else has to understand.

    Raises StoreError.
    """
    which = reader.which()  # before the record: of another store it does not fit the name
    record = reader.stored(row_id)
    return which if record is None else f"{which}/{record.id}/{record.arrived}/{record.seq}"


def holds(reader: StoreReader, place: str) -> bool:
    """Whether that store stands there, with that record as it was; a record that was removed is none that changed.

    Raises StoreError.
    """
    which, *record = place.split("/")
    if which != reader.which():
        return False
    if len(record) != 3 or not all(part.isascii() and part.lstrip("-").isdigit() for part in record):
        return not record
    row_id, arrived, seq = map(int, record)
    found = reader.stored(min(row_id, 2**63 - 1))
    return found is None or found.id != row_id or (found.arrived, found.seq) == (arrived, seq)
