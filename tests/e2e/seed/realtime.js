import io from 'socket.io-client';

const socket = io('wss://presence.dlux.io', {
  auth: { userAccount: 'dlux_user' }
});

// Join VR space
socket.emit('join-space', {
  spaceType: 'post',
  spaceId: 'author/permlink', 
  userAccount: 'dlux_user',
  position: { x: 0, y: 0, z: 0 }
});

// Listen for other users
socket.on('user-joined', (user) => {
  console.log('User joined:', user.userAccount);
  addUserToVRScene(user);
});

// Send chat messages
socket.emit('chat-message', {
  content: 'Hello from VR!',
  message_type: 'text'
});
