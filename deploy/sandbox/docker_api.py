"""The engine over HTTP, as the Container Service has it under ``/xapi/docker``.

The sandbox pulls nothing: images are built or loaded on this machine. Not here: commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from commands.errors import CommandDefinitionError
from commands.service_json import IMAGE_LABEL, command_from_json
from containers.docker_engine import DockerEngine
from containers.engine import EngineError, EngineUnavailableError, Image, ImageMissingError
from containers.swarm_engine import SwarmEngine
from deploy.sandbox import command_rows, docker_settings
from deploy.sandbox.call import Call, text
from deploy.sandbox.command_rows import DuplicateCommandError
from deploy.sandbox.docker_settings import ConstraintError
from deploy.sandbox.errors import HttpError, bad_request, not_found, not_implemented
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.xapi_access import require_manager, require_person

ROUTES = Routes()

NO_SERVER = "Set up Docker server before using this REST endpoint."
_HUB = {
    "id": 1,
    "name": "Docker Hub",
    "url": "https://index.docker.io/v1/",
    "username": None,
    "email": None,
    "default": True,
}


def _no_server(error: EngineError) -> HttpError:
    return HttpError(424, f"{NO_SERVER} {error}")


def _images(call: Call) -> tuple[Image, ...]:
    try:
        return call.site.runner.engine.images()
    except EngineError as error:
        raise _no_server(error) from error


def _image(call: Call, reference: str) -> Image:
    try:
        return call.site.runner.engine.image(reference)
    except ImageMissingError as error:
        raise not_found(str(error)) from error
    except EngineError as error:
        raise _no_server(error) from error


# Server -------------------------------------------------------------------------------------


@ROUTES.add("GET", "/xapi/docker/server")
def read_server(call: Call) -> Response:
    """Answer the engine's settings, and whether it answers."""
    require_person(call)
    settings = docker_settings.load(call.site.store.connection)
    return JSONResponse(
        {**settings, "ping": _answers(call), "engine": call.site.runner.engine.name}
    )


def _answers(call: Call) -> bool:
    try:
        call.site.runner.engine.ping()
    except EngineUnavailableError:
        return False
    return True


@ROUTES.add("POST", "/xapi/docker/server", body=True)
def write_server(call: Call) -> Response:
    """Store the engine's settings."""
    require_manager(call)
    given = json_body(call)
    if not isinstance(given, Mapping) or not isinstance(given.get("name", ""), str):
        raise bad_request("The body must be a JSON object with the server's settings.")
    backend = _backend(call, given)
    if any(given.get(f"path-translation-{side}-prefix") for side in ("xnat", "docker")):
        raise not_implemented("path translation: the sandbox and its engine see the same folders")
    user = given.get("container-user")
    if user is not None and not isinstance(user, str):
        raise bad_request("'container-user' must be a text such as 1000:1000.")
    changes = {key: given[key] for key in docker_settings.DEFAULTS if key in given}
    changes |= {"backend": backend, "swarm-mode": backend == SwarmEngine.name}
    if changes.get("swarm-constraints") is not None:
        try:
            docker_settings.check_constraints(changes["swarm-constraints"])
        except ConstraintError as error:
            raise bad_request(str(error)) from error
    else:
        changes.pop("swarm-constraints", None)
    with call.site.store.write() as connection:
        settings = {**docker_settings.load(connection), **changes, "id": 1}
        docker_settings.save(connection, settings)
    return JSONResponse({**settings, "ping": _answers(call)}, 201)


def _backend(call: Call, given: Mapping[str, Any]) -> str:
    """Return the backend that the settings name: by its word, or by the older switch."""
    named = given.get("backend")
    if named is None:
        named = SwarmEngine.name if given.get("swarm-mode") is True else DockerEngine.name
    if named == "kubernetes":
        raise not_implemented("Kubernetes")
    if named not in {DockerEngine.name, SwarmEngine.name}:
        raise bad_request("'backend' is docker or swarm.")
    if named == SwarmEngine.name and not call.site.runner.engines.has_docker:
        raise HttpError(
            424,
            f"{NO_SERVER} This sandbox runs commands as local processes; start it with "
            "--engine docker to use a swarm.",
        )
    return str(named)


@ROUTES.add("GET", "/xapi/docker/server/ping")
def ping(call: Call) -> Response:
    """Answer OK if the engine does."""
    require_person(call)
    try:
        call.site.runner.engine.ping()
    except EngineUnavailableError as error:
        raise _no_server(error) from error
    return text("OK")


# Images -------------------------------------------------------------------------------------


def _document(image: Image) -> dict[str, Any]:
    return {
        "image-id": image.image_id,
        "tags": list(image.tags),
        "labels": dict(image.labels),
        "size": image.size_bytes,
        "created": None if image.created_at is None else image.created_at.isoformat(),
    }


@ROUTES.add("GET", "/xapi/docker/images")
def list_images(call: Call) -> Response:
    """Answer the images on this machine."""
    require_manager(call)
    return JSONResponse([_document(image) for image in _images(call)])


@ROUTES.add("GET", "/xapi/docker/image-summaries")
def list_image_summaries(call: Call) -> Response:
    """Answer images together with the commands that use them, also where the image is not here."""
    require_manager(call)
    server = docker_settings.load(call.site.store.connection)["name"]
    summaries = {
        tag: {
            "server": server,
            "image-id": image.image_id,
            "image-names": [tag],
            "commands": [],
        }
        for image in _images(call)
        for tag in image.tags
    }
    for stored in command_rows.all_commands(call.site.store.connection):
        name = stored.command.image
        entry = summaries.setdefault(
            name, {"server": None, "image-id": None, "image-names": [name], "commands": []}
        )
        entry["commands"].append(stored.document)
    return JSONResponse(list(summaries.values()))


@ROUTES.add("POST", "/xapi/docker/images/save")
def save_commands(call: Call) -> Response:
    """Store the commands that an image carries in its label; answer them."""
    require_manager(call)
    return _save(call)


def _save(call: Call) -> Response:
    reference = call.query.get("image")
    if not reference:
        raise bad_request("Name the image: ?image=NAME.")
    image = _image(call, reference)
    name = reference if reference in image.tags else next(iter(image.tags), reference)
    saved = []
    with call.site.store.write() as connection:
        for document in _label(image, name):
            try:
                command = command_from_json({**document, "image": document.get("image") or name})
                saved.append(command_rows.add_command(connection, command).document)
            except CommandDefinitionError as error:
                raise bad_request(f"The label of {name}: {error}") from error
            except DuplicateCommandError:
                continue  # it was saved before: the label of an image never changes
    return JSONResponse(saved)


def _label(image: Image, name: str) -> list[dict[str, Any]]:
    text_ = image.labels.get(IMAGE_LABEL)
    if text_ is None:
        return []
    try:
        documents = json.loads(text_)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The label {IMAGE_LABEL} of {name} is no JSON.") from error
    if not isinstance(documents, list) or not all(isinstance(each, dict) for each in documents):
        raise bad_request(f"The label {IMAGE_LABEL} of {name} is no JSON list of commands.")
    return documents


@ROUTES.add("GET", "/xapi/docker/images/{image:path}")
def read_image(call: Call) -> Response:
    """Answer one image."""
    require_manager(call)
    return JSONResponse(_document(_image(call, call.path["image"])))


@ROUTES.add("DELETE", "/xapi/docker/images/{image:path}")
def delete_image(call: Call) -> Response:
    """Refuse: images of this machine are not the sandbox's to delete."""
    require_manager(call)
    raise not_implemented("deleting images; use the engine's own program")


# Registries ---------------------------------------------------------------------------------


@ROUTES.add("POST", "/xapi/docker/pull", "/xapi/docker/hubs/{hub}/pull")
def pull(call: Call) -> Response:
    """Answer that nothing can be pulled; an image that is here needs no pull."""
    require_manager(call)
    reference = call.query.get("image")
    if not reference:
        raise bad_request("Name the image: ?image=NAME.")
    if "hub" in call.path and call.path["hub"] not in {str(_HUB["id"]), _HUB["name"]}:
        raise not_found(f"There is no registry {call.path['hub']}.")
    try:
        call.site.runner.engine.image(reference)
    except ImageMissingError as error:
        raise HttpError(
            424,
            f"Image {reference} cannot be pulled: the sandbox reaches no registry. Build it "
            "with `winxnat image build`, or load it with the engine's own program.",
        ) from error
    except EngineError as error:
        raise _no_server(error) from error
    return _save(call) if call.flag("save-commands") else text()


@ROUTES.add("GET", "/xapi/docker/hubs")
def list_hubs(call: Call) -> Response:
    """Answer the registries: the default one, which the sandbox never asks."""
    require_manager(call)
    return JSONResponse([_HUB])


@ROUTES.add("GET", "/xapi/docker/hubs/{hub}")
def read_hub(call: Call) -> Response:
    """Answer one registry."""
    require_manager(call)
    if call.path["hub"] not in {str(_HUB["id"]), _HUB["name"]}:
        raise not_found(f"There is no registry {call.path['hub']}.")
    return JSONResponse(_HUB)


@ROUTES.add("GET", "/xapi/docker/hubs/{hub}/ping")
def ping_hub(call: Call) -> Response:
    """Answer that the registry is not reached."""
    read_hub(call)
    raise HttpError(424, "The sandbox reaches no registry.")


@ROUTES.add("POST", "/xapi/docker/hubs", "/xapi/docker/hubs/{hub}")
@ROUTES.add("DELETE", "/xapi/docker/hubs/{hub}")
def change_hubs(call: Call) -> Response:
    """Refuse: there is nothing to configure."""
    require_manager(call)
    raise not_implemented("registries")
