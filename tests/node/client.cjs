// Preloaded with `node -r`: lets `require('socket.io-client')` of an unchanged script find the version under test.
const Module = require('node:module');

const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  const wanted = request === 'socket.io-client' ? require.resolve(process.env.CLIENT) : request;
  return resolve.call(this, wanted, ...rest);
};
