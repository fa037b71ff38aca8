// Join a VR space (handles permissions automatically)
const response = await fetch(`https://presence.dlux.io/api/spaces/${type}/${id}/join`, {
  method: 'POST',
  headers: { 'Authorization': `Bearer ${hiveSignature}` },
  body: JSON.stringify({ subspace: 'main' })
});

const { turn_credentials, websocket_url } = await response.json();
