// The demo origin: every page says how often it was asked for.
import http from "node:http";

const AT = "127.0.0.1:7001";
const asked = new Map();
const server = http.createServer((request, response) => {
  const path = new URL(request.url, `http://${AT}`).pathname;
  const count = (asked.get(path) ?? 0) + 1;
  asked.set(path, count);
  response.writeHead(200, { "content-type": "text/plain", "cache-tag": "site" });
  response.end(`${path} was asked for ${count} times\n`);
});
const [host, port] = AT.split(":");
server.listen(Number(port), host);
