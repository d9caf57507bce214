// Node: timers, files in the thread pool, a child, a server and its client.
const fs = require("fs"), http = require("http"), { execFile } = require("child_process");
fs.promises.readFile("/etc/hostname").then(() => fs.promises.stat("/nonexistent")).catch(() => 0);
execFile("/bin/true", () => 0);
const server = http.createServer((_, answer) => answer.end("hello"));
server.listen(0, "127.0.0.1", () =>
  http.get({ port: server.address().port, agent: false }, (answer) => {
    answer.resume();
    answer.on("end", () => setTimeout(() => server.close(), 20));
  })
);
