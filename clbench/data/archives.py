"""Archives of strangers, unpacked so that nothing can land outside a folder."""

import tarfile
from pathlib import Path

from clbench.errors import DataError

MAX_BYTES = 50 * 10**9
"""An archive that unpacks to more is refused: no collection that clbench fetches comes near."""


def unpack(archive: Path, folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a tar archive, plain or compressed, into `folder`.

    Raises:
        DataError: it is no whole tar archive, it has a member that is absolute, leads outside, or is a device or a link
            that leads outside, or it unpacks to more than `max_bytes`. Nothing has been written then, but for a
            damaged archive, of which some files may be there.
    """
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            total = sum(member.size for member in members)
            if total > max_bytes:
                raise DataError(f"Expected {archive} to unpack to at most {max_bytes:,} bytes but it is {total:,}.")
            for member in members:
                tarfile.data_filter(member, str(folder))  # all are checked before the first is written
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"Expected {archive} to be a whole archive that stays inside its folder but got: {error}; nothing of it "
            "was used. Fetch it again from its official place."
        ) from error
