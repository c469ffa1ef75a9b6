// Official clients over a restart of the server: nothing but `io(…)`, and they come back.
//
// Usage: node draining.cjs BASE TOKEN. Prints `e2e restart` when the server is to be restarted, `e2e back …` for each client that
// came back, and `e2e done`.
const assert = require('node:assert/strict');

const [base, token] = process.argv.slice(2);
const transports = [['websocket'], ['polling'], ['polling', 'websocket']];
const clients = ['socket.io-client-seed', 'socket.io-client-newest'].flatMap((name) =>
  transports.map((transports) => {
    const { io } = require(name);
    const socket = io(`${base}/chat`, { auth: { token }, transports, forceNew: true });
    const client = { name: `${name} ${transports}`, socket, ready: 0, said: [], told: [] };
    socket.on('system:notification', ({ type, data }) => {
      if (type === 'session.ready') client.ready += 1;
      else client.told.push([type, data]);
    });
    socket.on('chat:message', ({ content }) => client.said.push(content));
    socket.on('disconnect', (reason) => (client.reason = reason));
    return client;
  }),
);

async function until(what, check) {
  const end = Date.now() + 25_000;
  while (!clients.every(check)) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}: ${JSON.stringify(clients.map(({ socket, ...rest }) => rest))}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

(async () => {
  await until('everybody', ({ ready }) => ready === 1);
  console.log('e2e restart');
  await until('the end', ({ reason }) => reason);
  for (const { name, reason, told } of clients) {
    assert.ok(['transport close', 'transport error'].includes(reason), `${name}: ${reason}`);
    assert.equal(told[0]?.[0], 'server.draining', name);
    assert.ok(told[0][1].reconnectInMs >= 0, name);
  }
  await until('everybody again', ({ ready }) => ready === 2);
  clients[0].socket.emit('chat:message', { content: 'here again' });
  await until('what is said', ({ said }) => said.includes('here again'));
  for (const { name, socket } of clients) {
    console.log(`e2e back ${name}`);
    socket.disconnect();
  }
  console.log('e2e done');
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
