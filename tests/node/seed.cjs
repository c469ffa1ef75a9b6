const io = require('socket.io-client');

const socket = io('http://localhost:3000/chat', {
  auth: { token: 'your-jwt-token' }
});

socket.on('connect', () => {
  console.log('Connected to WebSocket server');

  // Test authentication
  socket.emit('auth:login', { token: 'your-jwt-token', userType: 'user' });
});

socket.on('system:notification', (notification) => {
  console.log('Notification:', notification);
});

socket.on('chat:message', (message) => {
  console.log('Received message:', message);
});
