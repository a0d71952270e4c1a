#!/usr/bin/env bash
# peers.sh start|stop NAME…: starts one server, pinned to its core; its process id goes to $RUN/NAME.pid.
# Names: origin rimward nginx varnish hitch haproxy trafficserver envoy. Proxies run on core $PROXY_CORE (0), origin and load on $LOAD_CORE (1).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
RUN=${RUN:-${TMPDIR:-/tmp}/rimward-compare}
PROXY_CORE=${PROXY_CORE:-0}
LOAD_CORE=${LOAD_CORE:-1}
BINARY=${BINARY:-$here/../../target/release/rimward}

prepare() {
  mkdir -p "$RUN"/{www,o-tmp,n-tmp,n-ptmp,n-cache,rimward}
  chmod 755 "$RUN" "$RUN/www"
  chmod 777 "$RUN"/{o-tmp,n-tmp,n-ptmp,n-cache}
  [ -f "$RUN/www/10k.bin" ] || head -c 10240 /dev/urandom >"$RUN/www/10k.bin"
  [ -f "$RUN/www/1m.bin" ] || head -c 1048576 /dev/urandom >"$RUN/www/1m.bin"
  if [ ! -f "$RUN/cert.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$RUN/key.pem" -out "$RUN/cert.pem" \
      -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
    cat "$RUN/cert.pem" "$RUN/key.pem" >"$RUN/both.pem"
    chmod 644 "$RUN"/*.pem
  fi
}

# conf FILE: the configuration with its places filled in
conf() {
  local body
  body=$(head -c 1024 /dev/zero | tr '\0' x)
  sed -e "s#@RUN@#$RUN#g; s#@CONF@#$here/conf#g; s#@BODY1K@#$body#g" "$here/conf/$1" >"$RUN/$1"
}

# background NAME CORE COMMAND…
background() {
  local name=$1 core=$2
  shift 2
  setsid taskset -c "$core" "$@" >"$RUN/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$name.pid"
}

# layout: a tree of Traffic Server's own, so that /etc/trafficserver stays as it is
layout() {
  local tree=$RUN/ats file
  mkdir -p "$tree"/{etc,log,cache,run}
  cat >"$tree/runroot.yaml" <<TREE
prefix: /usr
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
sysconfdir: $tree/etc
datadir: $tree/cache
cachedir: $tree/cache
localstatedir: $tree/run
runtimedir: $tree/run
logdir: $tree/log
TREE
  conf trafficserver.config
  cp "$RUN/trafficserver.config" "$tree/etc/records.config"
  echo "$tree/cache 1G" >"$tree/etc/storage.config"
  for file in volume hosting plugin parent cache; do : >"$tree/etc/$file.config"; done
  cat >"$tree/etc/remap.config" <<'MAP'
map http://127.0.0.1:9140/pass/ http://127.0.0.1:9000/ @plugin=conf_remap.so @pparam=proxy.config.http.cache.http=0
map / http://127.0.0.1:9000/
MAP
  echo "dest_ip=* ssl_cert_name=cert.pem ssl_key_name=key.pem" >"$tree/etc/ssl_multicert.config"
  cp -rn /etc/trafficserver/{ip_allow.yaml,logging.yaml,sni.yaml,strategies.yaml,body_factory} "$tree/etc/" 2>/dev/null || true
  chmod -R 777 "$tree"
}

open() {
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  echo "port $1 did not open; see $RUN" >&2
  return 1
}

start() {
  case $1 in
    origin) conf origin.conf; taskset -c "$LOAD_CORE" nginx -c "$RUN/origin.conf"; open 9000 ;;
    rimward) RUN="$RUN" "$here/credentials.py"; conf rimward.toml; background rimward "$PROXY_CORE" "$BINARY" run --config "$RUN/rimward.toml"; open 9160 ;;
    nginx) conf nginx.conf; taskset -c "$PROXY_CORE" nginx -c "$RUN/nginx.conf"; open 9110 ;;
    varnish)
      conf varnish.vcl
      background varnish "$PROXY_CORE" varnishd -F -n "$RUN/varnish" -a http=127.0.0.1:9120 -a pass=127.0.0.1:9121 \
        -a proxy=127.0.0.1:9123,PROXY -f "$RUN/varnish.vcl" -s malloc,2g -p thread_pools=1 -p thread_pool_min=60 \
        -p timeout_idle=300 -p feature=+http2 -p shortlived=0
      open 9120
      ;;
    hitch)
      background hitch "$PROXY_CORE" hitch --frontend='[127.0.0.1]:9122' --backend='[127.0.0.1]:9123' --write-proxy-v2=on \
        --alpn-protos=h2,http/1.1 --workers=1 --user=nobody "$RUN/both.pem"
      open 9122
      ;;
    haproxy) conf haproxy.cfg; background haproxy "$PROXY_CORE" haproxy -db -f "$RUN/haproxy.cfg"; open 9130 ;;
    trafficserver) layout; TS_RUNROOT="$RUN/ats/runroot.yaml" background trafficserver "$PROXY_CORE" traffic_server; open 9140 ;;
    envoy)
      conf envoy.yaml
      background envoy "$PROXY_CORE" "${ENVOY:-envoy}" -c "$RUN/envoy.yaml" --concurrency 1 -l warn --disable-hot-restart
      open 9150
      ;;
    *) echo "unknown server: $1" >&2; return 1 ;;
  esac
}

# stop NAME: ends it, and waits until its ports are free again
stop() {
  local file=$RUN/$1.pid pid
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  rm -f "$file"
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
}

verb=$1
shift
prepare
for name; do "$verb" "$name"; done
