# /etc/varnish/default.vcl, for
# varnishd -a :80 -f /etc/varnish/default.vcl -p pipe_timeout=120 -p backend_idle_timeout=30
vcl 4.1;

backend klatsch {
    .host = "127.0.0.1";
    .port = "8000";
    # More than neo.ping_interval and neo.ping_timeout together, as is pipe_timeout.
    .first_byte_timeout = 120s;
    .between_bytes_timeout = 120s;
}

sub vcl_recv {
    # Host is passed on as it came; X-Forwarded-For comes by itself.
    # "https", if what stands in front of Varnish speaks TLS.
    set req.http.X-Forwarded-Proto = "http";
    # Said by nobody but this proxy.
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Port;
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    # Answers are for one client each.
    return (pass);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}
