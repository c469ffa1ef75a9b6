// ires-chat-client: see README.md.

export { IresChat } from './client.js';
export { ChatError } from './errors.js';
