//! What to write into the configuration of a proxy.

/// A line for each proxy that many have.
pub(super) struct Hint {
    nginx: &'static str,
    haproxy: &'static str,
    caddy: &'static str,
}

impl Hint {
    /// All lines, or the one for who names itself on the way.
    pub(super) fn lines(&self, server: &str) -> Vec<String> {
        let all = [("nginx", self.nginx), ("HAProxy", self.haproxy), ("Caddy", self.caddy)];
        let named = |(name, _): &&(&str, &str)| server.contains(&name.to_ascii_lowercase());
        let is_named = all.iter().any(|hint| named(&hint));
        let wanted = all.iter().filter(|hint| !is_named || named(hint));
        wanted
            .filter(|(_, line)| !line.is_empty())
            .map(|(name, line)| format!("{name}: {line}"))
            .collect()
    }
}

pub(super) const PATH: Hint = Hint {
    nginx: "location /.well-known/mercure { proxy_pass http://127.0.0.1:8080; } (without a path \
            behind the port)",
    haproxy: "use_backend hub if { path_beg /.well-known/ }",
    caddy: "handle /.well-known/* { reverse_proxy 127.0.0.1:8080 } (not handle_path)",
};

pub(super) const DISCOVERY: Hint = Hint {
    nginx: "location /.well-known/oauth-protected-resource/ { proxy_pass http://127.0.0.1:8080; } \
            as for the hub itself",
    haproxy: "use_backend hub if { path_beg /.well-known/oauth-protected-resource/ }",
    caddy: "reverse_proxy /.well-known/oauth-protected-resource/* 127.0.0.1:8080",
};

pub(super) const HOST: Hint = Hint {
    nginx: "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme; (which \
            the hub believes of --trusted-proxies)",
    haproxy: "no `http-request set-header host`; http-request set-header x-forwarded-proto https \
              if { ssl_fc }",
    caddy: "no `header_up Host`",
};

pub(super) const BUFFERING: Hint = Hint {
    nginx: "proxy_buffering off; (and no proxy_ignore_headers X-Accel-Buffering)",
    haproxy: "option http-no-delay",
    caddy: "no `response_buffers` and no `buffer_responses` in reverse_proxy",
};

pub(super) const COMPRESSION: Hint = Hint {
    nginx: "gzip off; in the hub's location (or gzip_types without text/event-stream)",
    haproxy: "compression type without text/event-stream",
    caddy: "@rest not path /.well-known/mercure, and encode @rest zstd gzip",
};

pub(super) const AUTHORIZATION: Hint = Hint {
    nginx: "proxy_set_header Authorization $http_authorization;",
    haproxy: "no `http-request del-header authorization`",
    caddy: "no `header_up -Authorization`",
};

pub(super) const LAST_EVENT_ID: Hint = Hint {
    nginx: "proxy_set_header Last-Event-ID $http_last_event_id; (and no proxy_hide_header \
            Mercure-Last-Event-ID)",
    haproxy: "no `http-request del-header last-event-id`",
    caddy: "no `header_up -Last-Event-ID`",
};

pub(super) const QUERY: Hint = Hint {
    nginx: "proxy_pass http://127.0.0.1:8080; without a path behind the port, or with \
            $is_args$args",
    haproxy: "no `http-request set-query` or `set-uri`",
    caddy: "no `rewrite` or `uri` without {query}",
};

pub(super) const COOKIE: Hint = Hint {
    nginx: "proxy_set_header Cookie $http_cookie;",
    haproxy: "no `http-request del-header cookie`",
    caddy: "no `header_up -Cookie`",
};

pub(super) const HEADERS: Hint = Hint {
    nginx: "large_client_header_buffers 8 128k; in http or server",
    haproxy: "tune.bufsize 131072 in global",
    caddy: "servers { max_header_size 128KiB } in the global options, or nothing: 1 MB is allowed",
};

pub(super) const BODY: Hint = Hint {
    nginx: "client_max_body_size 1m; as the hub's max_request_body_size",
    haproxy: "no `http-request deny` by req.body_size or content-length",
    caddy: "request_body { max_size 1MiB }",
};

pub(super) const IDLE: Hint = Hint {
    nginx: "proxy_read_timeout 1h;",
    haproxy: "timeout server 1h, and timeout client 1h in the frontend",
    caddy: "no `read_timeout` or `write_timeout` in the transport",
};

pub(super) const CORS: Hint = Hint {
    nginx: "no `add_header Access-Control-…` for the hub, which answers itself",
    haproxy: "no `http-response set-header access-control-…` for the hub, which answers itself",
    caddy: "no `header Access-Control-…` for the hub, which answers itself",
};
