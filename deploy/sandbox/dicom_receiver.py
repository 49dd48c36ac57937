"""The DICOM receivers: network listeners for C-ECHO and C-STORE.

They need the extra ``dicom-receiver`` (pynetdicom), which is imported when the first one starts.
Not here: what becomes of the files (``received``) and HTTP (``dicomscp_api``).
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.sandbox.errors import HttpError, conflict, not_implemented
from deploy.sandbox.received import ReceivedFiles

if TYPE_CHECKING:
    from deploy.sandbox.site import Site

_LOG = logging.getLogger("winxnat.sandbox.receiver")

_SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700
_NOT_UNDERSTOOD = 0xC000


@dataclass(frozen=True)
class Receiver:
    """One receiver; ``whitelist`` holds ``AETITLE``, ``AETITLE@ip``, ``ip`` or networks."""

    id: int
    ae_title: str
    port: int
    enabled: bool
    whitelist_enabled: bool
    whitelist: tuple[str, ...]

    def admits(self, ae_title: str, address: str) -> bool:
        """Return whether a sender may send."""
        return not self.whitelist_enabled or any(
            _is_named(entry, ae_title, address) for entry in self.whitelist
        )


def _is_named(entry: str, ae_title: str, address: str) -> bool:
    title, at, place = entry.rpartition("@")
    if at and title != ae_title:
        return False
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(place, strict=False)
    except ValueError:
        return not at and place == ae_title


class Receivers:
    """The running listeners of one site, by the receiver's number."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._files = ReceivedFiles(site)
        self._servers: dict[int, Any] = {}
        self._folders: dict[Any, Path] = {}
        self._lock = threading.Lock()
        site.on_stop.append(self.stop)

    def recover(self, receivers: list[Receiver]) -> None:
        """Store what was received before, and listen again."""
        self._files.recover()
        for each in receivers:
            if not each.enabled:
                continue
            try:
                self.start(each)
            except HttpError as error:
                _LOG.error("Receiver %s does not listen: %s", each.id, error.message)

    def start(self, receiver: Receiver) -> None:
        """Listen as this receiver; does nothing when it listens already.

        Raises
        ------
        HttpError
            409 when the port cannot be listened on, 501 without the extra.
        """
        with self._lock:
            if receiver.id not in self._servers:
                self._servers[receiver.id] = self._listen(receiver)

    def stop_one(self, number: int) -> None:
        """Listen no longer as this receiver."""
        with self._lock:
            server = self._servers.pop(number, None)
        if server is not None:
            server.shutdown()

    def stop(self) -> None:
        """Listen no longer at all."""
        for number in list(self._servers):
            self.stop_one(number)

    def _listen(self, receiver: Receiver) -> Any:
        try:
            from pynetdicom import (  # noqa: PLC0415 - an extra that most sandboxes go without
                AE,
                ALL_TRANSFER_SYNTAXES,
                AllStoragePresentationContexts,
                evt,
            )
            from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # noqa: PLC0415 - made at run time; same
        except ImportError as error:
            raise not_implemented(
                "DICOM receivers without the extra: pip install 'winxnat[dicom-receiver]'"
            ) from error
        entity = AE(ae_title=receiver.ae_title)
        entity.require_called_aet = True
        entity.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax is not None:
                entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        handlers: list[tuple[Any, Callable[..., Any]]] = [
            (evt.EVT_ESTABLISHED, self._admit(receiver)),
            (evt.EVT_C_STORE, self._receive(receiver)),
            (evt.EVT_CONN_CLOSE, self._finish),
        ]
        try:
            return entity.start_server(
                (self._site.settings.host, receiver.port),
                block=False,
                evt_handlers=handlers,  # type: ignore[arg-type] # pairs, as its documentation has them
            )
        except OSError as error:
            raise conflict(
                f"Port {receiver.port} cannot be listened on: {error.strerror}. Choose another one."
            ) from error

    # What senders do --------------------------------------------------------------------------

    @staticmethod
    def _may_send(receiver: Receiver, association: Any) -> bool:
        sender = association.requestor
        return receiver.admits(str(sender.ae_title).strip(), str(sender.address))

    def _admit(self, receiver: Receiver) -> Callable[[Any], None]:
        def admit(event: Any) -> None:
            if not self._may_send(receiver, event.assoc):
                event.assoc.abort()

        return admit

    def _receive(self, receiver: Receiver) -> Callable[[Any], int]:
        def receive(event: Any) -> int:
            if not self._may_send(receiver, event.assoc):
                return _NOT_UNDERSTOOD
            try:
                with self._lock:
                    folder = self._folders.get(event.assoc)
                    if folder is None:
                        folder = self._folders[event.assoc] = self._files.new_folder()
                kept = self._files.keep(folder, event.encoded_dataset())
            except OSError:
                return _OUT_OF_RESOURCES  # the sender keeps the file and tries again
            return _SUCCESS if kept else _NOT_UNDERSTOOD

        return receive

    def _finish(self, event: Any) -> None:
        with self._lock:
            folder = self._folders.pop(event.assoc, None)
        if folder is not None:
            self._files.store(folder)
