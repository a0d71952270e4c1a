# Varnish: everything is cached, except on the pass port.
vcl 4.1;
backend o { .host = "127.0.0.1"; .port = "9000"; }
sub vcl_recv {
  if (local.socket == "pass") { return (pass); }
  return (hash);
}
