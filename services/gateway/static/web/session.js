// A Hive account's login, kept while the tab is open, and requests with its token.

const KEPT = 'presence-login';
let login = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null');

const keep = (made) => {
  login = made;
  if (made) sessionStorage.setItem(KEPT, JSON.stringify(made));
  else sessionStorage.removeItem(KEPT);
};

const send = async (method, path, body, token) => {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : {};
  if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
  return answer;
};

const refreshed = async () => {
  try {
    keep({ ...login, ...await send('POST', '/api/auth/refresh', { refresh_token: login.refresh_token }) });
    return true;
  } catch (error) {
    if (error.status === 401) keep(null); // else we are away, and whoever is logged in stays so
    return false;
  }
};

export const account = () => login?.account ?? null;

// Asks as whoever is logged in; a token that ran out is renewed once.
export const ask = async (method, path, body) => {
  try {
    return await send(method, path, body, login?.token);
  } catch (error) {
    if (error.status !== 401 || !login || !await refreshed()) throw error;
    return send(method, path, body, login.token);
  }
};

const signed = (name, text) => new Promise((resolve, reject) => {
  if (!window.hive_keychain) {
    reject(new Error('Hive Keychain is not here: install it, or open this page where it is.'));
    return;
  }
  window.hive_keychain.requestSignBuffer(name, text, 'Posting', (answer) => {
    if (answer.success) resolve(answer.result);
    else reject(new Error(answer.message ?? 'Not signed.'));
  });
});

export const logIn = async (name) => {
  const { challenge } = await send('POST', '/api/auth/challenge', { account: name });
  const signature = await signed(name, challenge);
  keep(await send('POST', '/api/auth/login', { account: name, challenge, signature }));
};

export const logOut = async () => {
  await ask('POST', '/api/auth/logout', {}).catch(() => {});
  keep(null);
};
