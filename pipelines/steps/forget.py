"""Forget a vehicle everywhere in a home: raw parts, tables, publications, freed blocks; then look that it is so."""

from __future__ import annotations

import shutil
from dataclasses import replace

from pipelines.settings import Settings
from pipelines.steps.publish import current, publish
from warehouse import forget as forgetting
from warehouse import forget_copies as copies
from warehouse.forget import Forgotten
from warehouse.store import Warehouse, WarehouseError, open_warehouse

__all__ = ["Forgotten", "finish_forgetting", "forget"]

_RUN = "forgotten"


def forget(settings: Settings, vehicle: str) -> Forgotten:
    """Erase a vehicle, given by its id, its name as in the logs, or an alias.

    Raises
    ------
    WarehouseError
        The home knows no such vehicle, or something of it is still there.
    """
    home = settings.home
    with open_warehouse(home, create=False) as wh:
        vehicle_id = forgetting.vehicle_of(wh, vehicle)
        if not forgetting.is_known(wh, vehicle_id):
            raise WarehouseError("This home knows no vehicle of that name or id; give it as it stands in the logs.")
        ids = wh.names_of(vehicle_id)
        names = copies.names_in_copies(home, copies.ids_or_marks(home, ids))
        if not copies.is_id(vehicle):
            names.add(vehicle.strip())
        done = forgetting.erase(wh, vehicle_id, names)
        forgetting.resume(wh)
        copies.mask_old_names(wh)
        _publications(wh, settings)
    changed = copies.erase_copies(home, ids, names)
    forgetting.rewrite(home)
    files, tables, found = forgetting.search(home, *copies.needles(ids, names))
    if found:
        raise WarehouseError(f"The vehicle is still in {', '.join(found[:5])}; remove that and run the command again.")
    with open_warehouse(home, create=False) as wh:
        forgetting.finish(wh)
    return replace(done, files_searched=files, tables_searched=tables, copies=tuple(changed))


def finish_forgetting(settings: Settings) -> None:
    """Finish what a killed run of `forget` left undone, and mask names that older releases kept in the ledger."""
    with open_warehouse(settings.home) as wh:
        begun = forgetting.begun(wh)
        masked = copies.mask_old_names(wh)
        if not begun and not masked:
            return
        names = copies.names_in_copies(settings.home, copies.ids_or_marks(settings.home, (), begun))
        forgetting.resume(wh)
        _publications(wh, settings)
    copies.erase_copies(settings.home, (), names)
    forgetting.rewrite(settings.home)
    with open_warehouse(settings.home) as wh:
        forgetting.finish(wh)


def _publications(wh: Warehouse, settings: Settings) -> None:
    """Publish anew without the vehicle, and remove every older publication."""
    root = settings.home / "published"
    if not root.is_dir():
        return
    kept = None
    if current(settings.home) is not None and wh.scalar("SELECT count(*) FROM out_vehicle_state"):
        publish(wh, settings, _RUN)
        kept = current(settings.home)
    else:
        (settings.home / "current").unlink(missing_ok=True)
    for folder in root.iterdir():
        if kept is None or folder.name != kept.name:
            shutil.rmtree(folder)
