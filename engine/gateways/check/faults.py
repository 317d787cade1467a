"""What can be wrong at a gateway: in one sentence each what it is, what it lets happen, and how to cure it.

A cure names the directive where the kind of gateway is known. Whatever the fault, the printed configuration
(`muster gateway config`) has none of them: to start from it is always a cure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Level = Literal["wrong", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that can be wrong. A note is nothing that lets a request through."""

    what: str
    lets: str
    cure: str
    level: Level = "wrong"
    by_kind: Mapping[str, str] = field(default_factory=dict)

    def cure_for(self, kind: str | None) -> str:
        """The cure, with the directive where the kind is known."""
        return self.by_kind.get(kind or "", self.cure)


_ASK_EVERYWHERE: Final = {
    "nginx": "in that location and those around it: no `auth_request off`, no `satisfy any`, no `return` or "
    "`rewrite`, which run before the ask; `auth_request /_muster_ask;` in the server",
    "caddy": "put the lines of the printed `route` block first into that site and `handle`",
    "traefik": "name the middlewares `muster-clean` and `muster-ask`, in this order, on that router",
    "haproxy": "`http-request lua.muster` and the `return ... unless` behind it, before any rule that allows "
    "or accepts",
    "envoy": "remove `disabled: true` (ExtAuthzPerRoute) from that route, and routes before `ext_authz`",
}

FAULTS: Final[Mapping[str, Fault]] = {
    "unasked": Fault(
        what="a request reached the application and Muster was not asked about it",
        lets="anybody gets through there, whatever the policy says",
        cure="ask Muster in every route, location and router that leads to the application",
        by_kind=_ASK_EVERYWHERE,
    ),
    "unproved": Fault(
        what="a request reached the application without a decision that Muster has signed",
        lets="anybody gets through there, whatever the policy says",
        cure="ask Muster in every route, location and router that leads to the application, and copy what it answers",
        by_kind=_ASK_EVERYWHERE,
    ),
    "passed_refusal": Fault(
        what="a request reached the application although Muster did not say yes",
        lets="whoever makes Muster fail, or only waits until it does, gets through",
        cure="let through on an allow (200) alone, and on nothing else that happens",
        by_kind={
            "nginx": "no `satisfy any`, and no `error_page` that leads to the application",
            "caddy": "no `handle_errors` and no `handle_response` for other statuses that lead to the application",
            "traefik": "no `errors` middleware or fallback service that leads to the application",
            "haproxy": "refuse `unless { var(txn.muster) -m str allowed }`: a rule that denies *if* something was "
            "said lets through what said nothing",
            "envoy": "`failure_mode_allow: false` (Istio: `failOpen: false`)",
        },
    ),
    "passed_2xx": Fault(
        level="note",
        what="a status of 2xx other than 200 is taken for a yes",
        lets="nothing with Muster, which never says it; with something else at its address, whatever that says",
        cure="take exactly 200 with a Muster-Decision-Id for an allow, as the printed configuration does",
    ),
    "lost_decision": Fault(
        what="an allowed request arrived without its Muster-Decision-Id",
        lets="the application cannot tell it from one that went around the gateway",
        cure="copy Muster-Decision-Id and Muster-Assertion from Muster's answer into the request",
        by_kind={
            "nginx": "`auth_request_set $muster_id $upstream_http_muster_decision_id;` and `proxy_set_header "
            "Muster-Decision-Id $muster_id;` in the location itself (one `proxy_set_header` there drops all others)",
            "caddy": "inside `route`, in this order: `request_header -Connection`, the ask, `reverse_proxy`; outside "
            "of it Caddy strips after it has asked",
            "traefik": '`authResponseHeadersRegex: "(?i)^muster"`, and no `headers` middleware behind `muster-ask`',
            "haproxy": "`del-header ^muster` before `lua.muster`, not after it",
            "envoy": "over HTTP `allowed_upstream_headers` with both names; header_mutation before ext_authz",
        },
    ),
    "lost_assertion": Fault(
        what="an allowed request arrived without the Muster-Assertion of its decision",
        lets="the application cannot prove that the gate was passed",
        cure="copy Muster-Assertion from Muster's answer into the request, and drop the client's",
        by_kind={
            "nginx": "`auth_request_set $muster_assertion $upstream_http_muster_assertion;` and `proxy_set_header "
            "Muster-Assertion $muster_assertion;`",
            "envoy": "over HTTP `allowed_upstream_headers` with both names",
        },
    ),
    "forged": Fault(
        what="what a client wrote under one of Muster's names reached the application",
        lets="a client can show a decision that was never made",
        cure="drop every header that begins with `Muster`, in any spelling, before Muster is asked",
        by_kind={
            "nginx": 'for each name: `proxy_set_header Muster-Decision-Id $muster_id;` or `""`; keep '
            "`underscores_in_headers off` and `ignore_invalid_headers on`",
            "caddy": '`request_header -Muster*` and `request_header "-*~*"` (and its like) first in `route`',
            "traefik": "`aliasHeadersStrategy: delete` at the entry point, `muster-clean` on the router",
            "haproxy": "`http-request del-header ^muster -m reg` and `del-header [^a-zA-Z0-9-] -m reg` first",
            "envoy": "header_mutation before ext_authz: `remove_on_match` of the prefix `muster` and of odd names",
        },
    ),
    "alias": Fault(
        what="another spelling of a header (X_User or X~User for X-User) reached the application",
        lets="frameworks that take the two for one let a client say who it is, past the header that Muster has judged",
        cure="drop header names with anything but letters, digits and dashes",
        by_kind={
            "nginx": "keep `underscores_in_headers off` and `ignore_invalid_headers on`, which are the defaults",
            "caddy": '`request_header "-*~*"` and its like, first in `route`',
            "traefik": "`aliasHeadersStrategy: delete` under `http` of the entry point",
            "haproxy": "`http-request del-header [^a-zA-Z0-9-] -m reg`, first",
            "envoy": "`headers_with_underscores_action: REJECT_REQUEST`, and header_mutation for the other signs",
        },
    ),
    "reused": Fault(
        what="two requests arrived with one decision",
        lets="what was allowed once is allowed again without being asked about",
        cure="keep no answer of Muster's that does not say for how long (`Cache-Control: max-age`)",
        by_kind={
            "nginx": "no `proxy_cache_valid`, `proxy_ignore_headers` or `proxy_cache_use_stale` in the location that "
            "asks"
        },
    ),
    "kept_for_others": Fault(
        what="an allow that was kept was given to another request: of another person, method, host or "
        "target, or with another header that its `Vary` names",
        lets="somebody gets through on what somebody else was allowed",
        cure="tell kept answers apart by method, host, target and all that their `Vary` names",
        by_kind={
            "nginx": '`proxy_cache_key "$request_method $host $request_uri";`, with every variable from which a header '
            "of the ask is set, and no `proxy_ignore_headers`"
        },
    ),
    "other_target": Fault(
        what="Muster judged one request and the application got another",
        lets="a client chooses a harmless path for Muster, and gets a guarded one",
        cure="tell Muster the method and target as they go to the application, and rewrite neither",
        by_kind={
            "nginx": "ask with `$request_uri` and `$request_method`; no URI part behind the host in `proxy_pass`, no "
            "`rewrite`",
            "caddy": "`X-Forwarded-Uri {uri}` and `X-Forwarded-Method {method}`, and no `rewrite`, `uri` or "
            "`handle_path` between the ask and the application",
            "traefik": "no middleware that changes the path behind `muster-ask`; `trustForwardHeader: false`",
            "haproxy": "`txn.sf:url()` in muster.lua (not `pathq`), no `set-path` or `set-uri` behind `lua.muster`",
            "envoy": "no `prefix_rewrite` or `regex_rewrite` on the route (or map what Muster sees)",
        },
    ),
    "untold": Fault(
        what="the ask does not tell once what it is about: method, target and host",
        lets="Muster denies everything, or judges something else than what arrives",
        cure="set the pair of headers that this kind of gateway is read by, once, from the request itself",
        by_kind={
            "nginx": "`proxy_set_header X-Original-URI $request_uri;` and `X-Original-Method $request_method;` in the "
            "location that asks ($uri is that location's own)",
            "caddy": "`header_up X-Forwarded-Uri {uri}` and `header_up X-Forwarded-Method {method}`",
            "traefik": "forwardAuth sets X-Forwarded-*; the inner entry point has to trust 127.0.0.1/32 alone",
            "haproxy": "X-Original-URI and X-Original-Method, as muster.lua sets them",
            "envoy": "over HTTP `path_prefix: /v1/forward-auth`",
        },
    ),
    "spoofed": Fault(
        what="a header of the client's changed what Muster was asked about",
        lets="a client chooses a harmless path for Muster, and gets a guarded one",
        cure="set what Muster is told from the request itself, over whatever the client wrote",
        by_kind={
            "nginx": "`proxy_set_header X-Original-URI $request_uri;`, `X-Original-Method $request_method;`, and "
            "`Host $host;`",
            "caddy": "`header_up` of X-Forwarded-Uri and X-Forwarded-Method; no `trusted_proxies` for everybody",
            "traefik": "`trustForwardHeader: false`, and no `forwardedHeaders.insecure` or trusted addresses at the "
            "entry point of the site",
            "haproxy": "drop the client's X-Original-* before muster.lua sets its own",
            "envoy": "no `internal_only_headers` or rewriting by a client's header before ext_authz",
        },
    ),
    "key_overridden": Fault(
        what="a client's Muster-Gateway-Key was sent to Muster in the gateway's place, or beside it",
        lets="a client tries keys of other gateways, or has its request refused as nobody's",
        cure="set Muster-Gateway-Key in the ask alone, over whatever the client wrote",
    ),
    "key_leaked": Fault(
        what="the gateway's key reached the application",
        lets="whoever reads the application's log can ask in the gateway's name",
        cure="put Muster-Gateway-Key into the ask alone",
    ),
    "no_key": Fault(
        level="note",
        what="the ask came without a Muster-Gateway-Key",
        lets="nothing, if this gateway is known by a socket or a certificate of its own; else Muster answers 401",
        cure="leave it, or set the key as the printed configuration does",
    ),
    "elsewhere": Fault(
        what="Muster was asked at another path than /v1/forward-auth",
        lets="Muster does not answer there: nobody passes",
        cure="ask at /v1/forward-auth",
    ),
    "hidden_duplicate": Fault(
        what="of two headers of one name Muster was shown one alone",
        lets="Muster judges one identity, the application acts for the other",
        cure="show Muster both, so that it can refuse them, or refuse such a request",
    ),
    "stripped": Fault(
        what="what a client's Connection header named was lost on the way to Muster",
        lets="a client takes its own identity, or the gateway's key, out of what Muster judges",
        cure="drop the client's Connection before Muster is asked",
        by_kind={
            "caddy": "`request_header -Connection` first in `route`",
            "haproxy": "`http-request del-header connection unless websocket` first",
        },
    ),
    "named_on": Fault(
        level="note",
        what="a client's Connection header was handed on, with Muster's names in it",
        lets="nothing at the gateway; a further proxy before the application would drop what it names",
        cure="drop the client's Connection",
        by_kind={"haproxy": "`http-request del-header connection unless websocket`"},
    ),
    "shown_as_yes": Fault(
        what="a client was shown success for what Muster had not allowed",
        lets="caches, scripts and people take it for done; what failed is not noticed",
        cure="show a denial as 403 or 401, and could-not-decide as 503",
        by_kind={
            "nginx": "no `error_page 403 =200` (nor `401`, `500`): name the location without `=`",
            "envoy": "`status_on_error: {code: ServiceUnavailable}`, and no local reply that says 2xx",
        },
    ),
    "answered_unasked": Fault(
        what="a request was answered with success and Muster was not asked about it",
        lets="what is served there (by the gateway itself, or by another application) is not guarded",
        cure="ask Muster there too, or leave the path out of --path if it is meant to be open",
        by_kind={"nginx": "no `return`, `try_files` or `root` in that location: they run without `auth_request`"},
    ),
    "said_as_no": Fault(
        level="note",
        what="could-not-decide is told as 401 or 403",
        lets="nothing gets through, but people and alerts cannot tell an outage from a denial",
        cure="tell it as 503 with Retry-After",
        by_kind={
            "envoy": "`status_on_error: {code: ServiceUnavailable}`",
            "haproxy": "`return status 503` where the variable is not set",
        },
    ),
    "no_reason": Fault(
        level="note",
        what="a denial was shown without Muster's document",
        lets="nothing gets through, but nobody learns which lesson would cure it",
        cure="pass on the body of Muster's answer (nginx: the header Muster-Problem)",
    ),
    "other_no": Fault(
        level="note",
        what="a denial (403, 401) was shown as another status",
        lets="nothing gets through, but clients and alerts take it for something else",
        cure="show the status that Muster gave",
        by_kind={"nginx": "`error_page 401` and `error_page 403` with locations of their own"},
    ),
    "shown_2xx": Fault(
        level="note",
        what="an answer that is no allow (201, 204) ended the request, and was shown as success",
        lets="nothing with Muster, which never says it",
        cure="tell it as 503, by the printed `local_reply_config`",
    ),
    "bare_allow": Fault(
        level="note",
        what="a 200 without a Muster-Decision-Id was taken for a yes",
        lets="pointed at something else that says 200 to everything, the gateway lets everybody through",
        cure="have the application refuse requests without a Muster-Assertion that verifies; nginx, Caddy and HAProxy "
        "can look at the ID themselves",
    ),
    "hangs": Fault(
        what="a request that Muster did not answer was held for longer than ten seconds",
        lets="a Muster that hangs takes the gateway's connections with it, one by one",
        cure="wait one second for an answer",
        by_kind={
            "nginx": "`proxy_connect_timeout 200ms; proxy_read_timeout 1000ms;` in the location that asks",
            "caddy": "`response_header_timeout 1000ms` in the transport of the ask (it has none by default)",
            "traefik": "ask through the inner entry point with `responseHeaderTimeout: 1000ms`: ForwardAuth waits 30 s",
            "haproxy": "`timeout server 1000ms` in the backend that asks",
            "envoy": "`timeout: 1s` of grpc_service or server_uri (Istio: 600 s unless `timeout` is set)",
        },
    ),
    "early": Fault(
        level="note",
        what="an answer that came after 0.7 seconds was too late for the gateway",
        lets="nothing gets through, but slow answers are lost: Muster itself answers within 0.8 seconds",
        cure="wait one second, or lower `deadline_ms` of this gateway's profile below what it waits",
        by_kind={"envoy": "`timeout: 1s` (gRPC: 200 ms by default), or a lower `deadline_ms` in gateways.yaml"},
    ),
    "stays_shut": Fault(
        what="after Muster had come back, nothing got through for 15 seconds",
        lets="each restart of Muster is an outage of the application",
        cure="lower the time that the gateway takes Muster for dead",
    ),
    "flake": Fault(
        what="a request was refused because Muster had closed an idle connection",
        lets="now and then somebody who may is told no",
        cure="send an ask again on a new connection when the kept one was closed, once",
        by_kind={"envoy": '`retry_policy: {retry_on: "reset,connect-failure", num_retries: 1}` in http_service'},
    ),
    "body_promised": Fault(
        level="note",
        what="the ask promised a body, or had one",
        lets="Muster reads none: it answers at once and closes the connection, so that none is kept",
        cure="ask without the request's body",
        by_kind={
            "nginx": '`proxy_pass_request_body off; proxy_set_header Content-Length "";` and `Transfer-Encoding ""`',
            "traefik": "`forwardBody: false`",
            "haproxy": "leave Content-Length and Transfer-Encoding out of the ask",
            "envoy": "no `with_request_body`",
        },
    ),
    "other_upgrade": Fault(
        what="a change to another protocol than websocket reached the application",
        lets="in such a connection nothing is asked about: h2c carries any number of requests",
        cure="pass on `Upgrade: websocket` alone",
        by_kind={
            "nginx": "the printed `map $http_upgrade $muster_upgrade`",
            "caddy": "`request_header -Connection`, and `Connection Upgrade` for websockets alone",
            "haproxy": "`del-header connection unless websocket`",
            "envoy": "`upgrade_configs` with websocket alone",
        },
    ),
    "no_websocket": Fault(
        level="note",
        what="an allowed websocket was not opened",
        lets="nothing; if the application has websockets they do not work",
        cure="pass on `Upgrade` and `Connection` for websockets",
    ),
    "preflight": Fault(
        level="note",
        what="a preflight (OPTIONS with an Origin) was answered without Muster being asked",
        lets="nothing gets to the application; routes' `preflight` in routes.yaml has no say",
        cure="leave it if the gateway is meant to answer preflights itself",
    ),
    "lost_body": Fault(
        level="note",
        what="an allowed request with a body of 100 kB did not reach the application whole",
        lets="nothing; larger requests do not work",
        cure="raise the gateway's limit for bodies, if the application takes such",
    ),
    "empty_response": Fault(
        level="note",
        what="an empty CheckResponse is an allow",
        lets="nothing with Muster, which never sends one; that is how Envoy reads it, and cannot be changed",
        cure="have the application refuse requests without a Muster-Assertion that verifies",
    ),
}
