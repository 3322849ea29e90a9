// The native part of the library's cryptography is downloaded from elsewhere when it is installed, and is not needed here.
const Module = require("node:module");
const load = Module._load;
const stub = new Proxy({}, { get: (_, name) => (name === "__esModule" ? false : class {}) });
Module._load = function (request, ...rest) {
    return request.startsWith("@matrix-org/matrix-sdk-crypto-nodejs") ? stub : load.call(this, request, ...rest);
};
