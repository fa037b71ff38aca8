// Get available VR spaces
const response = await fetch('https://presence.dlux.io/api/spaces');
const { spaces } = await response.json();

// Each space has:
// - space_type: 'post', 'document', 'global' 
// - space_id: unique identifier
// - active_users: current user count
// - settings: VR configuration
