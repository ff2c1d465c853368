//! Network clients that probes run, and whom they ask.

use super::{
    HttpCall, Protocol, Reach, Target,
    options::{Line, Syntax},
    place::{self, reach, shown_host, url},
    scope::{Arg, Scope},
    shell::{SETTING, UNKNOWN},
};

/// What a client asks.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) targets: Vec<Target>,
    pub(super) http: Option<HttpCall>,
}

/// The targets of one command; none when it is not a known client.
pub(super) fn asked(name: &str, arguments: &[Arg], scope: &Scope<'_>) -> Asked {
    let cx = Client { name, scope };
    let targets = match name {
        "curl" => return cx.curl(arguments),
        "wget" => return cx.wget(arguments),
        "http" | "https" | "xh" | "xhs" => cx.httpie(arguments),
        "nc" | "ncat" | "netcat" | "nc.openbsd" | "nc.traditional" => cx.netcat(arguments),
        "telnet" => {
            let line = Line::read(arguments, Syntax::posix("ebklnSX", &[]));
            cx.host_then_port(&line, Protocol::Tcp, None)
        }
        "pg_isready" | "psql" | "pg_dump" => cx.postgres(arguments),
        "mysql" | "mysqladmin" | "mariadb" | "mariadb-admin" | "mysqlcheck" | "mysqlshow" => cx.mysql(arguments),
        "redis-cli" | "valkey-cli" | "keydb-cli" => cx.redis(arguments),
        "mongosh" | "mongo" => cx.mongo(arguments),
        "cqlsh" => {
            let long = &[
                "username",
                "password",
                "keyspace",
                "file",
                "execute",
                "encoding",
                "cqlshrc",
                "connect-timeout",
                "request-timeout",
            ];
            let line = Line::read(arguments, Syntax::posix("upkfe", long));
            let default = scope.environment("CQLSH_HOST");
            let mut targets = cx.host_then_port(&line, Protocol::DataStore("Cassandra"), Some(9042));
            if line.positional.is_empty()
                && let Some(host) = default
            {
                targets = vec![cx.target(&host, None, Protocol::DataStore("Cassandra"), Some(9042))];
            }
            targets
        }
        "nodetool" => {
            let line = Line::read(arguments, Syntax::posix("hpu", &["host", "port", "username", "password"]));
            cx.flags(&line, &["h", "host"], &["p", "port"], Protocol::Other("JMX"), Some(7199))
        }
        "rabbitmqadmin" => {
            let line = Line::read(
                arguments,
                Syntax::posix("cHPupVN", &["host", "port", "username", "password", "vhost", "config", "node"]),
            );
            cx.flags(&line, &["H", "host"], &["P", "port"], Protocol::Http, Some(15672))
        }
        "grpc_health_probe" | "grpc-health-probe" => cx.grpc_health_probe(arguments),
        "grpcurl" => cx.grpcurl(arguments),
        "nslookup" => {
            let line = Line::read(arguments, Syntax::one_dash(&[]));
            cx.dns(line.positional.get(1).map(|positional| &positional.arg))
        }
        "host" | "drill" => {
            let line = Line::read(arguments, Syntax::posix("cmNRtWkopb", &[]));
            cx.dns(line.positional.get(1).map(|positional| &positional.arg))
        }
        "dig" => {
            let server = arguments.iter().find(|argument| argument.value.starts_with('@')).map(|server| server.after(1));
            cx.dns(server.as_ref())
        }
        "kcat" | "kafkacat" => {
            let line = Line::read(arguments, Syntax::posix("bXtpGFJm", &[]));
            cx.list(line.value(&["b"]), Protocol::DataStore("Kafka"), 9092)
        }
        "cub" => {
            let line = Line::read(arguments, Syntax::posix("bczs", &["bootstrap-server", "zookeeper", "config"]));
            cx.list(line.value(&["b", "bootstrap-server"]), Protocol::DataStore("Kafka"), 9092)
        }
        "zkCli.sh" | "zkCli" => {
            let line = Line::read(arguments, Syntax::one_dash(&["server", "timeout"]));
            cx.list(line.value(&["server"]), Protocol::DataStore("ZooKeeper"), 2181)
        }
        "zookeeper-shell" | "zookeeper-shell.sh" => {
            let first = arguments.first();
            cx.list(first, Protocol::DataStore("ZooKeeper"), 2181)
        }
        name if name.starts_with("kafka-") => cx.kafka(arguments),
        "etcdctl" => {
            let line = Line::read(
                arguments,
                Syntax::one_dash(&["endpoints", "cert", "key", "cacert", "user", "password", "command-timeout", "dial-timeout"]),
            );
            let fallback = scope.environment("ETCDCTL_ENDPOINTS");
            cx.list(line.value(&["endpoints"]).or(fallback.as_ref()), Protocol::DataStore("etcd"), 2379)
        }
        "clickhouse-client" => {
            let line = Line::read(
                arguments,
                Syntax::posix("huqd", &["host", "port", "user", "password", "query", "database", "connect_timeout"]),
            );
            cx.flags(&line, &["h", "host"], &["port"], Protocol::DataStore("ClickHouse"), Some(9000))
        }
        "sqlcmd" => {
            let line = Line::read(arguments, Syntax::posix("SUPQqdltibhwsaCo", &[]));
            cx.sql_server(line.value(&["S"]))
        }
        "cypher-shell" => {
            let line = Line::read(arguments, Syntax::posix("aupd", &["address", "username", "password", "database", "format"]));
            cx.list(line.value(&["a", "address"]), Protocol::DataStore("Neo4j"), 7687)
        }
        "influx" => {
            let line = Line::read(
                arguments,
                Syntax::one_dash(&["host", "port", "username", "password", "database", "execute", "token", "org"]),
            );
            cx.list(line.value(&["host"]), Protocol::DataStore("InfluxDB"), 8086)
        }
        "ldapsearch" | "ldapwhoami" => {
            let line = Line::read(arguments, Syntax::posix("HhpDwybsfldYUXRoeEO", &[]));
            cx.list(line.value(&["H", "h"]), Protocol::Other("LDAP"), 389)
        }
        "ping" | "ping6" => {
            let line = Line::read(arguments, Syntax::posix("cwWisIQtpmMSl", &[]));
            let host = line.positional.first();
            host.map(|host| cx.target(&host.arg, None, Protocol::Other("ICMP"), None)).into_iter().collect()
        }
        "wait-for-it" | "wait-for-it.sh" | "wait-for" | "wait-for.sh" => {
            let line = Line::read(arguments, Syntax::posix("hpt", &["host", "port", "timeout"]));
            match line.positional.first() {
                Some(place) if place.arg.value.contains(':') => cx.list(Some(&place.arg), Protocol::Tcp, 0),
                _ => cx.flags(&line, &["h", "host"], &["p", "port"], Protocol::Tcp, None),
            }
        }
        "openssl" if arguments.first().is_some_and(|first| first.value == "s_client") => {
            let line = Line::read(
                arguments,
                Syntax::one_dash(&["connect", "servername", "CAfile", "cert", "key", "starttls", "host", "port"]),
            );
            cx.list(line.value(&["connect", "host"]), Protocol::Tcp, 0)
        }
        "consul" => cx.api(arguments, &["http-addr"], "CONSUL_HTTP_ADDR", 8500),
        "vault" => cx.api(arguments, &["address"], "VAULT_ADDR", 8200),
        _ => Vec::new(),
    };
    Asked { targets, http: None }
}

/// A connection through the shell itself: `/dev/tcp/host/port`.
pub(super) fn dev_tcp(file: &Arg, scope: &Scope<'_>) -> Option<Target> {
    let (host, port) = ["/dev/tcp/", "/dev/udp/"].iter().find_map(|device| file.value.strip_prefix(device))?.split_once('/')?;
    Some(Target {
        client: "/dev/tcp".to_owned(),
        host: shown_host(file, |text| text.split('/').nth(3).unwrap_or_default()),
        port: place::port(Some(port)),
        protocol: Protocol::Tcp,
        reach: reach(host, scope),
        path: String::new(),
        literal: file.shown.is_none(),
    })
}

#[derive(Clone, Copy)]
struct Client<'c> {
    name: &'c str,
    scope: &'c Scope<'c>,
}

/// curl's long options that take a value.
const CURL_LONG: &[&str] = &[
    "abstract-unix-socket",
    "alt-svc",
    "aws-sigv4",
    "cacert",
    "capath",
    "cert",
    "cert-type",
    "ciphers",
    "config",
    "connect-timeout",
    "connect-to",
    "continue-at",
    "cookie",
    "cookie-jar",
    "create-file-mode",
    "crlfile",
    "curves",
    "data",
    "data-ascii",
    "data-binary",
    "data-raw",
    "data-urlencode",
    "delegation",
    "dns-interface",
    "dns-ipv4-addr",
    "dns-ipv6-addr",
    "dns-servers",
    "doh-url",
    "dump-header",
    "expect100-timeout",
    "form",
    "form-string",
    "happy-eyeballs-timeout-ms",
    "header",
    "hostpubmd5",
    "hsts",
    "interface",
    "json",
    "keepalive-time",
    "key",
    "key-type",
    "limit-rate",
    "local-port",
    "max-filesize",
    "max-redirs",
    "max-time",
    "netrc-file",
    "noproxy",
    "oauth2-bearer",
    "output",
    "output-dir",
    "pass",
    "pinnedpubkey",
    "preproxy",
    "proto",
    "proto-default",
    "proto-redir",
    "proxy",
    "proxy-user",
    "range",
    "rate",
    "referer",
    "request",
    "request-target",
    "resolve",
    "retry",
    "retry-delay",
    "retry-max-time",
    "socks4",
    "socks5",
    "socks5-hostname",
    "speed-limit",
    "speed-time",
    "stderr",
    "tls-max",
    "tls13-ciphers",
    "tlsuser",
    "trace",
    "trace-ascii",
    "unix-socket",
    "upload-file",
    "url",
    "url-query",
    "user",
    "user-agent",
    "variable",
    "write-out",
];

const WGET_LONG: &[&str] = &[
    "append-output",
    "base",
    "body-data",
    "body-file",
    "ca-certificate",
    "ca-directory",
    "certificate",
    "config",
    "connect-timeout",
    "dns-timeout",
    "header",
    "http-password",
    "http-user",
    "input-file",
    "load-cookies",
    "max-redirect",
    "method",
    "output-document",
    "output-file",
    "password",
    "post-data",
    "post-file",
    "prefer-family",
    "private-key",
    "proxy",
    "quota",
    "read-timeout",
    "referer",
    "secure-protocol",
    "timeout",
    "tries",
    "user",
    "user-agent",
    "wait",
    "waitretry",
];

impl Client<'_> {
    fn target(&self, host: &Arg, port: Option<&Arg>, protocol: Protocol, default_port: Option<u16>) -> Target {
        let port = port.map_or(default_port, |port| place::port(Some(&port.value)));
        Target {
            client: self.name.to_owned(),
            host: shown_host(host, |text| text),
            port,
            protocol,
            reach: reach(&host.value, self.scope),
            path: String::new(),
            literal: host.shown.is_none(),
        }
    }

    /// The client's own default: this pod.
    fn local(&self, protocol: Protocol, port: Option<u16>) -> Target {
        Target {
            client: self.name.to_owned(),
            host: "localhost".to_owned(),
            port,
            protocol,
            reach: Reach::Local,
            path: String::new(),
            literal: true,
        }
    }

    fn flags(&self, line: &Line, host: &[&str], port: &[&str], protocol: Protocol, default_port: Option<u16>) -> Vec<Target> {
        let port = line.value(port);
        let target = match line.value(host) {
            Some(host) => self.target(host, port, protocol, default_port),
            None => self.local(protocol, port.map_or(default_port, |port| place::port(Some(&port.value)))),
        };
        vec![target]
    }

    fn host_then_port(&self, line: &Line, protocol: Protocol, default_port: Option<u16>) -> Vec<Target> {
        let Some(host) = line.positional.first() else {
            return if default_port.is_some() { vec![self.local(protocol, default_port)] } else { Vec::new() };
        };
        vec![self.target(&host.arg, line.positional.get(1).map(|port| &port.arg), protocol, default_port)]
    }

    /// A comma-separated list of URLs, `host:port` or `host`; nothing given is this pod.
    fn list(&self, places: Option<&Arg>, protocol: Protocol, default_port: u16) -> Vec<Target> {
        let default_port = Some(default_port).filter(|port| *port > 0);
        let Some(places) = places else { return vec![self.local(protocol, default_port)] };
        members(places.split(',').iter().map(|place| self.place(place, protocol, default_port)).collect())
    }

    fn place(&self, place: &Arg, protocol: Protocol, default_port: Option<u16>) -> Target {
        let parts = url(&place.value);
        let port = match parts.port {
            Some(port) => place::port(Some(port)),
            None => default_port,
        };
        Target {
            client: self.name.to_owned(),
            host: shown_host(place, |text| url(text).host),
            port,
            protocol,
            reach: if parts.scheme.contains("unix") { Reach::Local } else { reach(parts.host, self.scope) },
            path: url(place.shown()).path.to_owned(),
            literal: place.shown.is_none(),
        }
    }

    fn curl(&self, arguments: &[Arg]) -> Asked {
        let line = Line::read(arguments, Syntax::posix("AbcCdDeEFHhKmoPQrtTuUwxXyYz", CURL_LONG));
        let mut places: Vec<(&Arg, bool)> = line.values(&["url"]).map(|url| (url, false)).collect();
        places.extend(line.positional.iter().map(|positional| (&positional.arg, positional.doubtful)));
        let config = line.has(&["K", "config"]);
        let redirected = line.has(&[
            "unix-socket",
            "abstract-unix-socket",
            "resolve",
            "connect-to",
            "x",
            "proxy",
            "preproxy",
            "socks5",
            "socks4",
        ]);
        let fails = line.has(&["f", "fail", "fail-with-body"]);
        let shows_status = line.has(&["w", "write-out"]);
        let file = line.value(&["o", "output"]).is_some_and(|file| !is_null(&file.value));
        let changes = line.names().any(|name| {
            name.starts_with("data") || name.starts_with("form") || matches!(name, "d" | "F" | "T" | "upload-file" | "json")
        });
        let method_is_get = line.value(&["X", "request"]).is_none_or(|method| method.value == "GET")
            && (!changes || line.has(&["G", "get"]))
            && !line.has(&["I", "head"]);
        let special = line.names().any(|name| {
            matches!(
                name,
                "u" | "user"
                    | "E"
                    | "cert"
                    | "b"
                    | "cookie"
                    | "n"
                    | "netrc"
                    | "netrc-file"
                    | "oauth2-bearer"
                    | "aws-sigv4"
                    | "key"
                    | "retry"
            )
        });
        let mut asked = self.urls(&places, redirected);
        asked.http = Some(HttpCall {
            ignores_status: !arguments.iter().any(is_unknown)
                && !fails
                && !shows_status
                && !config
                && !file
                && asked.targets.iter().all(|target| target.protocol == Protocol::Http),
            replaceable: method_is_get
                && !special
                && !changes
                && !config
                && !redirected
                && !shows_status
                && !file
                && places.len() == 1
                && line.values(&["H", "header"]).all(|header| header.shown.is_none())
                && fails,
            exact: fails
                && line.names().all(|name| {
                    matches!(
                        name,
                        "f" | "fail"
                            | "fail-with-body"
                            | "s"
                            | "silent"
                            | "S"
                            | "show-error"
                            | "no-progress-meter"
                            | "k"
                            | "insecure"
                            | "o"
                            | "output"
                    )
                })
                && line.values(&["o", "output"]).all(|file| matches!(&*file.value, "/dev/null" | "-"))
                && self.is_exact(&places, line.has(&["k", "insecure"])),
            https: places.first().is_some_and(|(place, _)| place.value.starts_with("https:")),
            headers: line
                .values(&["H", "header"])
                .filter_map(|header| header.shown().split_once(':').map(|(name, _)| name.trim().to_owned()))
                .collect(),
        });
        asked
    }

    fn wget(&self, arguments: &[Arg]) -> Asked {
        let line = Line::read(arguments, Syntax::posix("OoaetTwQPUiBlARDIXY", WGET_LONG));
        let places: Vec<(&Arg, bool)> = line.positional.iter().map(|positional| (&positional.arg, positional.doubtful)).collect();
        let file = line.value(&["O", "output-document"]).is_some_and(|file| !is_null(&file.value) && file.value != "-");
        let special = line.names().any(|name| {
            matches!(
                name,
                "post-data"
                    | "post-file"
                    | "method"
                    | "body-data"
                    | "body-file"
                    | "user"
                    | "http-user"
                    | "password"
                    | "http-password"
                    | "certificate"
                    | "private-key"
                    | "load-cookies"
                    | "i"
                    | "input-file"
                    | "e"
            )
        });
        let mut asked = self.urls(&places, line.has(&["e", "proxy"]));
        asked.http = Some(HttpCall {
            ignores_status: false,
            replaceable: !special && !file && places.len() == 1 && line.values(&["header"]).all(|header| header.shown.is_none()),
            // Where the answer is kept, the second run may fail; `--spider` asks with HEAD.
            exact: line.has(&["O", "output-document"])
                && line.names().all(|name| {
                    matches!(
                        name,
                        "q" | "quiet"
                            | "n"
                            | "v"
                            | "no-verbose"
                            | "no-check-certificate"
                            | "t"
                            | "tries"
                            | "O"
                            | "output-document"
                    )
                })
                && line.values(&["t", "tries"]).all(|tries| tries.value == "1")
                && line.values(&["O", "output-document"]).all(|file| matches!(&*file.value, "/dev/null" | "-"))
                && self.is_exact(&places, line.has(&["no-check-certificate"])),
            https: places.first().is_some_and(|(place, _)| place.value.starts_with("https:")),
            headers: line
                .values(&["header"])
                .filter_map(|header| header.shown().split_once(':').map(|(name, _)| name.trim().to_owned()))
                .collect(),
        });
        asked
    }

    /// Whether it is one URL that asks this pod and that the kubelet requests as it stands. The kubelet verifies no certificates.
    fn is_exact(&self, places: &[(&Arg, bool)], unverified: bool) -> bool {
        let [(place @ Arg { shown: None, .. }, false)] = places else { return false };
        let parts = url(&place.value);
        let scheme = match parts.scheme {
            "" | "http" => true,
            "https" => unverified,
            _ => false,
        };
        let authority = place.value.rsplit_once("://").map_or(&*place.value, |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        let port = parts.port.is_none_or(|port| place::port(Some(port)).is_some());
        // curl expands brackets and takes dots out of paths, a fragment is never sent, and a shell may expand stars.
        let odd = |c: char| c.is_whitespace() || c.is_control() || "#{}[]*\\$\"'`".contains(c) || !c.is_ascii();
        let dots = || parts.path.split(['/', '?']).any(|segment| matches!(segment, "." | ".."));
        let clean = (parts.path.is_empty() || parts.path.starts_with('/')) && !parts.path.contains(odd) && !dots();
        let proxy = || self.scope.variables.iter().any(|variable| variable.name.to_ascii_lowercase().ends_with("_proxy"));
        scheme
            && matches!(parts.host, "localhost" | "127.0.0.1" | "::1")
            && !authority.contains(['@', '#'])
            && place.value.matches("://").count() <= 1
            && port
            && clean
            && !place.value.contains('#')
            && !proxy()
    }

    fn urls(&self, places: &[(&Arg, bool)], redirected: bool) -> Asked {
        let mut asked = Asked::default();
        for (place, doubtful) in places {
            // A word of which nothing is known may be anything, an option too.
            if places.len() > 1 && is_unknown(place) {
                continue;
            }
            let parts = url(&place.value);
            let (protocol, default_port) = match parts.scheme {
                "https" => (Protocol::Http, Some(443)),
                "" | "http" => (Protocol::Http, Some(80)),
                "telnet" => (Protocol::Tcp, Some(23)),
                "dict" | "gopher" => (Protocol::Tcp, None),
                "redis" => (Protocol::DataStore("Redis"), Some(6379)),
                _ => (Protocol::Other("another protocol"), None),
            };
            let mut target = self.place(place, protocol, default_port);
            // A word that may be the value of an unknown option (a scheme makes it a URL, and a URL there must be), or a connection that goes elsewhere
            // than the URL says.
            let plain = parts.scheme.is_empty() && parts.port.is_none() && parts.path.is_empty();
            if target.reach == Reach::Remote
                && (redirected || (places.len() > 1 && (plain || (*doubtful && parts.scheme.is_empty()))))
                || parts.scheme == "file"
            {
                target.reach = Reach::Unknown;
            }
            asked.targets.push(target);
        }
        asked
    }

    fn httpie(&self, arguments: &[Arg]) -> Vec<Target> {
        let line = Line::read(
            arguments,
            Syntax::posix("asoAp", &["auth", "auth-type", "timeout", "output", "session", "verify", "proxy"]),
        );
        let methods = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PATCH"];
        let place = line.positional.iter().find(|positional| !methods.contains(&&*positional.arg.value));
        place
            .map(|place| self.place(&place.arg, Protocol::Http, Some(if self.name.ends_with('s') { 443 } else { 80 })))
            .into_iter()
            .collect()
    }

    fn netcat(&self, arguments: &[Arg]) -> Vec<Target> {
        let line = Line::read(
            arguments,
            Syntax::posix("wipsqXxTOIPecgGmMVW", &["wait", "idle-timeout", "source", "source-port", "exec", "proxy"]),
        );
        if line.has(&["l", "listen", "h", "help"]) || line.positional.is_empty() {
            return Vec::new();
        }
        if line.has(&["U"]) {
            return vec![self.local(Protocol::Tcp, None)];
        }
        // One word alone is a port to some, a host to others.
        if line.positional.len() == 1 {
            let mut target = self.place(&line.positional[0].arg, Protocol::Tcp, None);
            if target.reach == Reach::Remote {
                target.reach = Reach::Unknown;
            }
            return vec![target];
        }
        self.host_then_port(&line, Protocol::Tcp, None)
    }

    fn postgres(&self, arguments: &[Arg]) -> Vec<Target> {
        let long = &[
            "host",
            "port",
            "dbname",
            "username",
            "timeout",
            "command",
            "file",
            "set",
            "variable",
            "output",
            "field-separator",
            "pset",
            "record-separator",
            "log-file",
        ];
        let line = Line::read(arguments, Syntax::posix("hpUdtcfvoFRTPL", long));
        let protocol = Protocol::DataStore("PostgreSQL");
        let given = line.value(&["h", "host"]).cloned();
        let conninfo = line.value(&["d", "dbname"]).or_else(|| line.positional.first().map(|positional| &positional.arg));
        // A connection string outranks the flags.
        let conninfo = conninfo.and_then(|text| {
            if text.value.starts_with("postgres://") || text.value.starts_with("postgresql://") {
                let authority = url(&text.value);
                return Some(if authority.host.is_empty() { None } else { Some(self.place(text, protocol, Some(5432))) });
            }
            let host = |text: &str| text.split_whitespace().find_map(|pair| pair.strip_prefix("host=")).map(str::to_owned);
            host(&text.value).map(|value| {
                let shown = text.shown.as_deref().map(|shown| host(shown).unwrap_or_else(|| "...".to_owned()));
                Some(self.target(&Arg { value, shown, source: None }, None, protocol, Some(5432)))
            })
        });
        if let Some(Some(target)) = conninfo {
            return vec![target];
        }
        let port = line.value(&["p", "port"]);
        let fallback = self.scope.environment("PGHOST");
        match given.or(fallback) {
            Some(hosts) => hosts.split(',').iter().map(|host| self.target(host, port, protocol, Some(5432))).collect(),
            None => self.flags(&line, &[], &["p", "port"], protocol, Some(5432)),
        }
    }

    fn mysql(&self, arguments: &[Arg]) -> Vec<Target> {
        let long = &[
            "host",
            "port",
            "user",
            "socket",
            "execute",
            "database",
            "protocol",
            "connect-timeout",
            "connect_timeout",
            "defaults-file",
            "defaults-extra-file",
            "default-character-set",
            "login-path",
            "ssl-ca",
            "ssl-cert",
            "ssl-key",
            "sleep",
            "count",
            "wait",
        ];
        let line = Line::read(arguments, Syntax { attached: "p#T", ..Syntax::posix("hPuSeDOri", long) });
        let protocol = Protocol::DataStore("MySQL");
        if line.has(&["S", "socket"]) && !line.has(&["h", "host"]) {
            return vec![self.local(protocol, None)];
        }
        // Only the `mysql` program reads MYSQL_HOST.
        let fallback = if matches!(self.name, "mysql" | "mariadb") { self.scope.environment("MYSQL_HOST") } else { None };
        match (line.value(&["h", "host"]), fallback) {
            (None, Some(host)) => vec![self.target(&host, line.value(&["P", "port"]), protocol, Some(3306))],
            _ => self.flags(&line, &["h", "host"], &["P", "port"], protocol, Some(3306)),
        }
    }

    fn redis(&self, arguments: &[Arg]) -> Vec<Target> {
        let long = &[
            "user",
            "pass",
            "cacert",
            "cacertdir",
            "cert",
            "key",
            "sni",
            "eval",
            "show-pushes",
            "tls-ciphers",
            "tls-ciphersuites",
        ];
        let line = Line::read(arguments, Syntax { stops: true, ..Syntax::posix("hpasurniDdtX", long) });
        let protocol = Protocol::DataStore("Redis");
        if line.has(&["s"]) {
            return vec![self.local(protocol, None)];
        }
        match line.value(&["u"]) {
            Some(uri) => vec![self.place(uri, protocol, Some(6379))],
            None => self.flags(&line, &["h"], &["p"], protocol, Some(6379)),
        }
    }

    fn mongo(&self, arguments: &[Arg]) -> Vec<Target> {
        let long = &[
            "host",
            "port",
            "eval",
            "username",
            "password",
            "authenticationDatabase",
            "authenticationMechanism",
            "tlsCAFile",
            "tlsCertificateKeyFile",
            "tlsCertificateKeyFilePassword",
            "sslCAFile",
            "sslPEMKeyFile",
            "sslPEMKeyPassword",
            "file",
            "db",
        ];
        let line = Line::read(arguments, Syntax::posix("upf", long));
        let protocol = Protocol::DataStore("MongoDB");
        let port = line.value(&["port"]);
        if let Some(first) = line.positional.first().filter(|first| !first.doubtful).map(|first| &first.arg) {
            let scheme = url(&first.value).scheme;
            if scheme.starts_with("mongodb") {
                return self.mongo_hosts(&without_scheme(first), port);
            }
            // `host:port`, `host/database`; a word alone is a database, a `.js` file is a script.
            let is_script =
                first.value.rsplit_once('.').is_some_and(|(_, ending)| ending == "js") || first.value.starts_with(['/', '.']);
            if !is_script && first.value.contains([':', '/']) {
                return vec![self.place(first, protocol, Some(27017))];
            }
        }
        match line.value(&["host"]) {
            Some(hosts) => self.mongo_hosts(&without_scheme(hosts), port),
            None => self.flags(&line, &[], &["port"], protocol, Some(27017)),
        }
    }

    /// `set/host:port,host:port/database?options`, with or without a set.
    fn mongo_hosts(&self, text: &Arg, port: Option<&Arg>) -> Vec<Target> {
        let hosts = text.split(',');
        let default = port.map_or(Some(27017), |port| place::port(Some(&port.value)));
        let set = hosts
            .first()
            .and_then(|first| first.value.split_once('/'))
            .filter(|(set, rest)| !set.contains(':') && rest.contains(':'))
            .map(|(set, _)| set.len() + 1);
        let targets = hosts
            .iter()
            .enumerate()
            .map(|(index, host)| {
                let host = if index == 0 { host.after(set.unwrap_or(0)) } else { host.clone() };
                self.place(&host, Protocol::DataStore("MongoDB"), default)
            })
            .collect();
        members(targets)
    }

    fn kafka(&self, arguments: &[Arg]) -> Vec<Target> {
        let line = Line::read(
            arguments,
            Syntax::posix(
                "",
                &[
                    "bootstrap-server",
                    "broker-list",
                    "zookeeper",
                    "command-config",
                    "topic",
                    "group",
                    "partitions",
                    "replication-factor",
                    "timeout-ms",
                    "bootstrap-controller",
                    "consumer.config",
                    "producer.config",
                    "max-messages",
                ],
            ),
        );
        let brokers: Vec<Target> = line
            .values(&["bootstrap-server", "broker-list", "bootstrap-controller"])
            .flat_map(|list| self.list(Some(list), Protocol::DataStore("Kafka"), 9092))
            .collect();
        let zookeepers =
            line.values(&["zookeeper"]).flat_map(|list| self.list(Some(list), Protocol::DataStore("ZooKeeper"), 2181));
        brokers.into_iter().chain(zookeepers).collect()
    }

    fn sql_server(&self, server: Option<&Arg>) -> Vec<Target> {
        let protocol = Protocol::DataStore("SQL Server");
        let Some(server) = server else { return vec![self.local(protocol, Some(1433))] };
        let port = server.value.split_once(',').map_or(Some(1433), |(_, port)| place::port(Some(port)));
        let reached = if matches!(sql_server_host(&server.value), "." | "(local)") {
            Reach::Local
        } else {
            reach(sql_server_host(&server.value), self.scope)
        };
        vec![Target { host: shown_host(server, sql_server_host), port, reach: reached, ..self.local(protocol, None) }]
    }

    fn grpc_health_probe(&self, arguments: &[Arg]) -> Vec<Target> {
        let line = Line::read(
            arguments,
            Syntax::one_dash(&[
                "addr",
                "service",
                "connect-timeout",
                "rpc-timeout",
                "rpc-header",
                "tls-ca-cert",
                "tls-server-name",
                "user-agent",
            ]),
        );
        let tls = line.has(&["tls", "spiffe", "alts"]);
        let Some(place) = line.value(&["addr"]) else { return Vec::new() };
        let mut target = self.place(place, Protocol::Grpc { tls }, None);
        if let Some(service) = line.value(&["service"]) {
            service.shown().clone_into(&mut target.path);
        }
        vec![target]
    }

    fn grpcurl(&self, arguments: &[Arg]) -> Vec<Target> {
        let line = Line::read(
            arguments,
            Syntax::one_dash(&[
                "d",
                "H",
                "authority",
                "cacert",
                "cert",
                "connect-timeout",
                "format",
                "import-path",
                "key",
                "keepalive-time",
                "max-msg-sz",
                "max-time",
                "proto",
                "protoset",
                "reflect-header",
                "rpc-header",
                "servername",
                "user-agent",
            ]),
        );
        let place = line.positional.iter().find(|positional| positional.arg.value.contains(':'));
        place.map(|place| self.place(&place.arg, Protocol::Grpc { tls: !line.has(&["plaintext"]) }, None)).into_iter().collect()
    }

    /// A query goes to the named server, else to the pod's resolver, which may be anything.
    fn dns(&self, server: Option<&Arg>) -> Vec<Target> {
        match server {
            Some(server) => vec![self.target(server, None, Protocol::Dns, Some(53))],
            None => vec![Target {
                host: "the resolver of the pod".to_owned(),
                reach: Reach::Unknown,
                ..self.local(Protocol::Dns, Some(53))
            }],
        }
    }

    /// Tools that talk to their own server's HTTP API, on this pod unless told otherwise.
    fn api(&self, arguments: &[Arg], option: &[&str], variable: &str, port: u16) -> Vec<Target> {
        let value = arguments.iter().find_map(|argument| {
            let text = argument.value.trim_start_matches('-');
            let dashes = argument.value.len() - text.len();
            let name = option.iter().find(|name| text.starts_with(**name) && text[name.len()..].starts_with('='))?;
            (dashes > 0).then(|| argument.after(dashes + name.len() + 1))
        });
        let fallback = self.scope.environment(variable);
        self.list(value.or(fallback).as_ref(), Protocol::Http, port)
    }
}

/// Places of one cluster: where this pod is among them, the others are its own fellows, and one answer is enough.
fn members(mut targets: Vec<Target>) -> Vec<Target> {
    if targets.iter().any(|target| matches!(target.reach, Reach::Local | Reach::OwnService)) {
        for target in targets.iter_mut().filter(|target| target.reach == Reach::Remote) {
            target.reach = Reach::OwnService;
        }
    }
    targets
}

/// `tcp:host\instance,port`.
fn sql_server_host(text: &str) -> &str {
    let text = text.strip_prefix("tcp:").unwrap_or(text);
    text.split([',', '\\']).next().unwrap_or_default()
}

/// The part after scheme and credentials, which may hold commas of their own.
fn without_scheme(text: &Arg) -> Arg {
    fn cut(text: &str) -> &str {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        authority.rfind('@').map_or(rest, |at| &rest[at + 1..])
    }
    Arg { value: cut(&text.value).to_owned(), shown: text.shown.as_deref().map(|shown| cut(shown).to_owned()), source: None }
}

fn is_unknown(argument: &Arg) -> bool {
    matches!(argument.value.chars().next(), Some(UNKNOWN | SETTING)) && argument.value.chars().count() == 1
}

fn is_null(file: &str) -> bool {
    matches!(file, "/dev/null" | "/dev/stdout" | "/dev/stderr" | "-" | "/proc/1/fd/1" | "/proc/1/fd/2")
}
