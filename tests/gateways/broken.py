"""Configurations with one thing wrong, each a change of the printed one: traps into which users have fallen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Edit = tuple[str, str]
"""What stands in a printed configuration, and what somebody put in its place."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A configuration with one thing wrong: where, and what the check says of it."""

    profile: str
    title: str
    edits: tuple[Edit, ...]
    probe: str
    fault: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.profile}: {self.title}"


ASK = "            auth_request /_muster_ask;\n"
PLAIN = ("proxy_pass http://$muster_allowed;", "proxy_pass http://application;")
SITE = "        location = /_muster_ask {\n"
ENVOY_ROUTE = '                        - match: {prefix: "/"}\n                          route:'
PER_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
OFF = f"""\
                        - match: {{prefix: "/open"}}
                          route: {{cluster: application}}
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz: {{"@type": {PER_ROUTE}, disabled: true}}
"""
REWRITTEN = """\
                        - match: {prefix: "/old"}
                          route: {cluster: application, prefix_rewrite: "/new"}
"""
OPEN_ROUTER = """\
  routers:
    open:
      entryPoints: [site]
      rule: "PathPrefix(`/open`)"
      service: application
"""
ASSETS = f"""\
        location /assets/ {{
            auth_request off;
            {PLAIN[1]}
        }}
"""
UNASKED = f"""\
        location /unasked/ {{
            internal;
            rewrite ^/unasked(.*)$ $1 break;
            {PLAIN[1]}
        }}
"""
STYLES = f"""\
        location ~* \\.(css|js|png|jpg|svg|woff2)$ {{
            {PLAIN[1]}
        }}
"""
KEPT = """\
            proxy_method GET;
            proxy_cache kept;
            proxy_cache_valid 200 1m;
            proxy_cache_key $request_uri;
"""

FOR_ALL = """\
            proxy_method GET;
            proxy_cache kept;
            proxy_cache_key $request_uri;
"""
KEEPS = ("server_tokens off;", "server_tokens off; proxy_cache_path cache keys_zone=kept:1m;")


def kept(key: str) -> str:
    """The ask, kept as long as Muster says, under a key."""
    return f"            proxy_method GET;\n            proxy_cache kept;\n            proxy_cache_key {key};\n"


BROKEN: Final = [
    Broken(
        "nginx",
        "auth_request off in a nested location",
        ((SITE, ASSETS + SITE),),
        "paths",
        "unasked",
        ("/", "/assets/"),
    ),
    Broken("nginx", "whatever ends like a style sheet goes by unasked", ((SITE, STYLES + SITE),), "targets", "unasked"),
    Broken("nginx", "satisfy any", ((ASK, f"{ASK}            satisfy any; allow all;\n"), PLAIN), "denied", "unasked"),
    Broken(
        "nginx",
        "a deny shown as 200",
        (("error_page 403 = ", "error_page 403 =200 "), ("return 403 $m", "return 200 $m")),
        "denied",
        "shown_as_yes",
    ),
    Broken(
        "nginx",
        "the auth location's own $uri",
        (("X-Original-URI $request_uri", "X-Original-URI $uri"),),
        "allowed",
        "untold",
    ),
    Broken(
        "nginx",
        "no X-Original-URI",
        (("            proxy_set_header X-Original-URI $request_uri;\n", ""),),
        "allowed",
        "untold",
    ),
    Broken(
        "nginx",
        "rewrite before the ask",
        ((ASK, f"            rewrite ^/old(.*)$ /new$1 break;\n{ASK}"),),
        "allowed",
        "other_target",
        ("/", "/old"),
    ),
    Broken(
        "nginx",
        "return before the ask",
        ((SITE, f"        location /open {{\n            return 200 open;\n        }}\n{SITE}"),),
        "allowed",
        "answered_unasked",
        ("/", "/open"),
    ),
    Broken(
        "nginx", "a URI part in proxy_pass", ((PLAIN[0], "proxy_pass http://application/;"),), "targets", "other_target"
    ),
    Broken(
        "nginx",
        "underscores in headers",
        (("server_tokens off;", "server_tokens off;\n    underscores_in_headers on;"),),
        "aliases",
        "forged",
    ),
    Broken(
        "nginx",
        "the client's key goes on",
        (
            (
                '            proxy_set_header Muster-Gateway-Key "";\n            proxy_set_header X-Forwarded-For',
                "            proxy_set_header X-Forwarded-For",
            ),
        ),
        "muster-headers",
        "forged",
    ),
    Broken(
        "nginx",
        "every upgrade goes on",
        (
            ("Upgrade $muster_upgrade", "Upgrade $http_upgrade"),
            ("Connection $muster_connection", "Connection $http_connection"),
        ),
        "upgrade",
        "other_upgrade",
    ),
    Broken("nginx", "a minute's patience", (("            proxy_read_timeout 1000ms;\n", ""),), "slow", "hangs"),
    Broken(
        "nginx",
        "answers kept in a cache",
        (
            ("server_tokens off;", "server_tokens off;\n    proxy_cache_path cache keys_zone=kept:1m;"),
            (
                "            proxy_method GET;\n",
                KEPT,
            ),
        ),
        "each",
        "reused",
    ),
    Broken(
        "nginx",
        "an allow kept for every method",
        (
            ("server_tokens off;", "server_tokens off;\n    proxy_cache_path cache keys_zone=kept:1m;"),
            ("            proxy_method GET;\n", FOR_ALL),
        ),
        "kept-allows",
        "kept_for_others",
    ),
    Broken(
        "nginx",
        "an allow kept for every host",
        (KEEPS, ("            proxy_method GET;\n", kept('"$request_method $request_uri"'))),
        "kept-allows",
        "kept_for_others",
    ),
    Broken(
        "nginx",
        "the key says whose it is, and Vary is not looked at",
        (
            KEEPS,
            (
                "            proxy_method GET;\n",
                kept('"$request_method $host $request_uri $http_authorization"; proxy_ignore_headers Vary'),
            ),
        ),
        "kept-allows",
        "kept_for_others",
    ),
    Broken(
        "nginx",
        "those within go by unasked, and a header says who is",
        (
            ("server_tokens off;", "server_tokens off; set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"),
            (ASK, f"{ASK}            satisfy any; allow 10.0.0.0/8; deny all;\n"),
            PLAIN,
        ),
        "spoofed",
        "unasked",
    ),
    Broken(
        "nginx",
        "whoever says to be a health check goes by unasked",
        (
            (ASK, f"{ASK}            if ($http_user_agent ~ kube-probe) {{ rewrite ^ /unasked$uri last; }}\n"),
            (SITE, UNASKED + SITE),
        ),
        "spoofed",
        "unasked",
    ),
    Broken(
        "caddy",
        "the client's Connection stays",
        (("\t\trequest_header -Connection\n\t\trequest_header @websocket Connection Upgrade\n", ""),),
        "connection",
        "lost_decision",
    ),
    Broken("caddy", "no limit on the answer", (("\t\t\t\tresponse_header_timeout 1000ms\n", ""),), "slow", "hangs"),
    Broken(
        "caddy",
        "the client's X-Forwarded-Uri",
        (("\t\t\theader_up X-Forwarded-Uri {uri}\n", ""),),
        "spoofed",
        "spoofed",
    ),
    Broken(
        "traefik",
        "X-Forwarded-* of everybody",
        (("trustForwardHeader: false", "trustForwardHeader: true"), ("insecure: false", "insecure: true")),
        "spoofed",
        "spoofed",
    ),
    Broken(
        "traefik",
        "aliases are kept",
        (("aliasHeadersStrategy: delete", "aliasHeadersStrategy: keep"),),
        "aliases",
        "alias",
    ),
    Broken(
        "traefik",
        "a router without middlewares",
        (
            (
                "  routers:\n",
                OPEN_ROUTER,
            ),
        ),
        "paths",
        "unasked",
        ("/", "/open"),
    ),
    Broken(
        "haproxy",
        "deny if, in place of unless",
        (("unless { var(txn.muster) -m str allowed }", "if { var(txn.muster) -m str denied }"),),
        "dead",
        "passed_refusal",
    ),
    Broken(
        "haproxy",
        "pathq of an absolute target",
        (("return txn.sf:url()", "return txn.sf:pathq()"),),
        "targets",
        "other_target",
    ),
    Broken(
        "haproxy", "odd names go on", (("    http-request del-header [^a-zA-Z0-9-] -m reg\n", ""),), "aliases", "alias"
    ),
    Broken(
        "envoy-http",
        "failure_mode_allow",
        (("failure_mode_allow: false", "failure_mode_allow: true"),),
        "undecided",
        "passed_refusal",
    ),
    Broken(
        "envoy-http",
        "a rewritten prefix",
        (
            (
                ENVOY_ROUTE,
                REWRITTEN + ENVOY_ROUTE,
            ),
        ),
        "allowed",
        "other_target",
        ("/", "/old"),
    ),
    Broken(
        "envoy-grpc",
        "failure_mode_allow",
        (("failure_mode_allow: false", "failure_mode_allow: true"),),
        "dead",
        "passed_refusal",
    ),
    Broken(
        "envoy-grpc",
        "ext_authz disabled on a route",
        ((ENVOY_ROUTE, OFF + ENVOY_ROUTE),),
        "paths",
        "unasked",
        ("/", "/open"),
    ),
    Broken(
        "envoy-grpc",
        "the client's Muster-Decision-Id stays",
        (("prefix: muster,", "prefix: other,"),),
        "bare-allow",
        "forged",
    ),
]
