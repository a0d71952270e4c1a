// The HTTP services: two versions of the catalogue, and reviews. `POST /_answer/503` has one answer so from now on; 200 ends that.
import http from "node:http";

const SERVICES = [
  { at: "127.0.0.1:7001", about: (url) => ({ version: 1, item: url.pathname }) },
  { at: "127.0.0.1:7002", about: (url) => ({ version: 2, item: url.pathname, price: 5 }) },
  { at: "127.0.0.1:7003", about: (url) => ({ reviews: [{ of: url.pathname, stars: 5 }] }) },
];

for (const { at, about } of SERVICES) {
  let status = 200;
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, `http://${at}`);
    const order = /^\/_answer\/(\d{3})$/.exec(url.pathname);
    if (request.method === "POST" && order) {
      status = Number(order[1]);
      return response.end();
    }
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(status === 200 ? about(url) : { message: "this service is unwell" }));
  });
  const [host, port] = at.split(":");
  server.listen(Number(port), host);
}
