// kinesis-local listens on every address and has no setting for it; with `node --require` this keeps it on loopback.
const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (where, ...others) {
  const options = typeof where === "object" ? where : { port: where };
  return listen.call(this, { ...options, host: "127.0.0.1" }, ...others.filter((other) => typeof other === "function"));
};
