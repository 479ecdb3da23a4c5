"""As much of Kubernetes' API as kubectl asks for, over HTTP: objects in memory, and a refusal of secrets.

A real server needs machines of its own; what is tested with this one is what our client makes of kubectl's words.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

RESOURCES = {
    "/api/v1": [("configmaps", "ConfigMap"), ("pods", "Pod"), ("secrets", "Secret")],
    "/apis/ray.io/v1": [("rayjobs", "RayJob")],
}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


class ApiServer:
    """The server; `objects` holds what is there, by plural and name."""

    def __init__(self, forbidden=(), has_ray=True):
        self.objects = {}
        self.has_ray = has_ray
        self.asked = []
        handler = type("Handler", (_Handler,), {"owner": self, "forbidden": frozenset(forbidden)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner = None
    forbidden = frozenset()

    def log_message(self, *words):
        pass

    def do_GET(self):
        path, query = self._asked()
        about = self._about(path)
        if about is not None:
            return self._say(about)
        plural, name = self._place(path)
        if plural in self.forbidden:
            return self._refuse(403, "Forbidden", f'{plural} "{name}" is forbidden: User "ann" cannot get it')
        if name is None:
            found = [each for (kind, _), each in self.owner.objects.items() if kind == plural]
            wanted = dict(each.split("=") for each in query.get("labelSelector", [""])[0].split(",") if each)
            found = [each for each in found if wanted.items() <= each["metadata"].get("labels", {}).items()]
            return self._say({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": found})
        thing = self.owner.objects.get((plural, name))
        return self._refuse(404, "NotFound", f'{plural} "{name}" not found') if thing is None else self._say(thing)

    def do_POST(self):
        plural, _ = self._place(self._asked()[0])
        thing = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.objects[plural, thing["metadata"]["name"]] = thing
        self._say(thing, 201)

    def do_PATCH(self):
        place = self._place(self._asked()[0])
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.objects[place] = merged(self.owner.objects[place], change)
        self._say(self.owner.objects[place])

    def do_DELETE(self):
        self.owner.objects.pop(self._place(self._asked()[0]), None)
        self._say({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _about(self, path):
        """Return what the server tells of itself under a path; None if the path names objects."""
        if path in ("/api", "/apis"):
            return self._groups(path)
        if path in RESOURCES:
            return self._resources(path)
        if path.startswith("/openapi/v3"):
            return self._schemas(path.removeprefix("/openapi/v3"))
        if "/namespaces/" not in path or path.endswith("/namespaces/n"):
            return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}
        return None

    def _asked(self):
        parts = urlsplit(self.path)
        self.owner.asked.append(f"{self.command} {parts.path}")
        return parts.path, parse_qs(parts.query)

    @staticmethod
    def _place(path):
        """Return plural and name that a path below a namespace names; the name None for all."""
        words = path.split("/namespaces/")[1].split("/")[1:]
        return words[0], words[1] if len(words) > 1 else None

    def _groups(self, path):
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        version = {"groupVersion": "ray.io/v1", "version": "v1"}
        group = {"name": "ray.io", "versions": [version], "preferredVersion": version}
        groups = [group] if self.owner.has_ray else []
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    @staticmethod
    def _resources(path):
        found = [
            {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": VERBS}
            for plural, kind in RESOURCES[path]
        ]
        version = path.removeprefix("/api/").removeprefix("/apis/")
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": found}

    @staticmethod
    def _schemas(path):
        """Tell kubectl that the server looks at fields itself, or else kubectl would want every schema."""
        if not path:
            return {"paths": {each[1:]: {"serverRelativeURL": f"/openapi/v3{each}"} for each in RESOURCES}}
        group = path.split("/")[2] if path.startswith("/apis") else ""
        patches = {
            f"{path}/namespaces/{{namespace}}/{plural}/{{name}}": {
                "patch": {
                    "x-kubernetes-group-version-kind": {"group": group, "version": "v1", "kind": kind},
                    "parameters": [{"name": "fieldValidation", "in": "query"}],
                }
            }
            for plural, kind in RESOURCES[path]
        }
        return {"openapi": "3.0.0", "info": {"title": "k", "version": "1"}, "paths": patches}

    def _refuse(self, code, reason, message):
        answer = {"status": "Failure", "reason": reason, "message": message, "code": code}
        self._say({"kind": "Status", "apiVersion": "v1", "metadata": {}, **answer}, code)

    def _say(self, thing, code=200):
        text = json.dumps(thing).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def merged(value, change):
    """Return a value with a merge patch applied."""
    if not isinstance(value, dict) or not isinstance(change, dict):
        return change
    kept = {key: merged(value.get(key), each) for key, each in change.items() if each is not None}
    return {key: each for key, each in value.items() if key not in change} | kept
