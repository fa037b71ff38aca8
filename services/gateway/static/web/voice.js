// Voice with the few whom `voice-peers` names: one WebRTC connection each, signalled over the socket.
// Of two, the one with the smaller socket id offers; a connection that fails is offered once more. With `?relay` in the
// page's address everything goes through the TURN server, which shows whether that works.
const ATTEMPTS = 2;
const iceTransportPolicy = new URLSearchParams(window.location.search).has('relay') ? 'relay' : 'all';

export class Voice {
  // `credentials` fetches TURN credentials; `changed` is called whenever somebody is heard, or not any more.
  constructor(socket, credentials, changed) {
    Object.assign(this, { socket, credentials, changed, iceServers: [], microphone: null, lines: new Map() });
    const events = {
      'voice-peers': ({ peers }) => this.keep(peers),
      'webrtc-offer': ({ fromSocketId, offer, media }) => { if (media !== 'screen') this.line(fromSocketId)?.answer(offer); },
      'webrtc-answer': ({ fromSocketId, answer }) => this.lines.get(fromSocketId)?.take(answer),
      'webrtc-ice-candidate': ({ fromSocketId, candidate }) => this.lines.get(fromSocketId)?.reach(candidate),
      disconnect: () => this.keep([]),
    };
    for (const [event, handle] of Object.entries(events)) socket.on(event, handle);
  }

  get on() { return this.microphone !== null; }

  async start() {
    await this.renew();
    this.microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    this.tell();
  }

  // Credentials end; the lines that are open outlive them, a new one needs others.
  async renew() {
    clearTimeout(this.renewal);
    const { iceServers, ttl } = await this.credentials();
    this.iceServers = iceServers;
    if (ttl) this.renewal = setTimeout(() => this.renew().catch(() => this.changed()), ttl * 500);
  }

  stop() {
    clearTimeout(this.renewal);
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.microphone = null;
    this.tell();
    this.keep([]);
  }

  // Also after every join: the server remembers it only for a person who comes back at once.
  tell() { this.socket.emit('voice-state', { enabled: this.on, muted: false }); }

  hears(socketId) { return this.lines.get(socketId)?.isHeard ?? false; }

  keep(peers) {
    for (const [id, line] of this.lines) if (!peers.includes(id)) line.close();
    for (const id of peers) if (this.socket.id < id && !this.lines.has(id)) this.line(id)?.offer();
  }

  line(id, attempt = 1) {
    if (!this.on) return null;
    this.lines.get(id)?.close();
    const line = new Line(this, id, attempt);
    this.lines.set(id, line);
    return line;
  }
}

class Line {
  constructor(voice, id, attempt) {
    Object.assign(this, { voice, id, attempt, began: performance.now(), early: [], isHeard: false });
    this.sound = document.body.appendChild(new Audio());
    this.peer = new RTCPeerConnection({ iceServers: voice.iceServers, iceTransportPolicy });
    for (const track of voice.microphone.getTracks()) this.peer.addTrack(track, voice.microphone);
    this.peer.onicecandidate = ({ candidate }) => candidate && this.send('ice-candidate', { candidate });
    this.peer.ontrack = ({ track, streams }) => {
      this.sound.srcObject = streams[0];
      this.sound.play();
      track.onunmute = () => this.heard(true); // its first packet
      track.onmute = () => this.heard(false);
    };
    this.peer.onconnectionstatechange = () => this.judge(this.peer.connectionState);
  }

  heard(isHeard) {
    this.isHeard = isHeard;
    this.voice.changed();
  }

  send(kind, content) { this.voice.socket.emit(`webrtc-${kind}`, { targetSocketId: this.id, ...content }); }

  async offer() {
    await this.peer.setLocalDescription();
    this.send('offer', { offer: this.peer.localDescription });
  }

  async answer(offer) {
    await this.take(offer);
    await this.peer.setLocalDescription();
    this.send('answer', { answer: this.peer.localDescription });
  }

  async take(description) {
    await this.peer.setRemoteDescription(description);
    for (const candidate of this.early.splice(0)) await this.peer.addIceCandidate(candidate);
  }

  // A candidate may overtake the description that it belongs to.
  async reach(candidate) {
    if (this.peer.remoteDescription) await this.peer.addIceCandidate(candidate);
    else this.early.push(candidate);
  }

  async judge(state) {
    if (state !== 'connected' && state !== 'failed') return;
    this.report(state, await this.path());
    const mayOffer = state === 'failed' && this.voice.socket.id < this.id && this.attempt < ATTEMPTS;
    if (mayOffer) this.voice.line(this.id, this.attempt + 1)?.offer();
  }

  // How it got through: host, srflx, prflx or relay.
  async path() {
    const stats = await this.peer.getStats();
    const transport = [...stats.values()].find(({ type }) => type === 'transport');
    const pair = stats.get(transport?.selectedCandidatePairId);
    return stats.get(pair?.localCandidateId)?.candidateType ?? 'unknown';
  }

  // For the operator's success rate.
  report(outcome, path) {
    const milliseconds = Math.round(performance.now() - this.began);
    fetch('/api/webrtc/reports', { method: 'POST', body: JSON.stringify({ outcome, path, media: 'voice', milliseconds }) });
  }

  close() {
    this.peer.close();
    this.sound.remove();
    this.voice.lines.delete(this.id);
    if (this.isHeard) this.heard(false);
  }
}
