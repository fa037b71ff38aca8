// An account's webhooks: subscribe, look at what was sent, try, rotate, send again. The one that is open is in the hash.
// And those of a space, for who moderates it.
import { account, ask, logIn, logOut } from './session.js';
import { DeliveryLog } from './delivery-log.js';
import { element } from './element.js';
import { ModeratedWebhooks } from './moderated-webhooks.js';
import { describe, isOn, keyOf, spaceOf, stateOf, whatToDo } from './webhook-state.js';

const $ = (id) => document.getElementById(id);
const say = (text) => { $('status').textContent = text; };
const log = new DeliveryLog($('log'), $('more'), say);
let webhooks = [];
let events = [];

// Runs what a click asked for; says what went wrong. Its button waits.
const doing = async (button, work) => {
  say('');
  if (button) button.disabled = true;
  try {
    await work();
  } catch (error) {
    say(error.message);
    if (!account()) show();
  } finally {
    if (button) button.disabled = false;
  }
};

const sure = (question) => new Promise((resolve) => {
  $('question').textContent = question;
  $('sure').returnValue = '';
  $('sure').addEventListener('close', () => resolve($('sure').returnValue === 'yes'), { once: true });
  $('sure').showModal();
});

const opened = () => webhooks.find((one) => one.id === window.location.hash.slice(1));

const choices = (place, chosen) => place.replaceChildren(...events.map((event) => element('label', {},
  element('input', { type: 'checkbox', value: event, checked: chosen.includes(event) }), event)));

const chosen = (place) => [...place.querySelectorAll('input:checked')].map((input) => input.value);

const card = (webhook) => element('li', {}, stateOf(webhook),
  element('a', { href: `#${webhook.id}`, textContent: webhook.webhook_url }),
  element('div', { className: 'faint', textContent: `${spaceOf(webhook)} · ${webhook.events.join(', ')}` }));

const showSecret = (secret) => {
  $('secret').hidden = !secret;
  if (secret) $('secret').replaceChildren('The secret, shown this once: ', element('code', { textContent: secret }));
};

const showState = (webhook) => {
  $('state').replaceChildren(...describe(webhook));
  $('todo').replaceChildren(...whatToDo(webhook));
  $('todo').hidden = !$('todo').childElementCount;
  $('key').replaceChildren(...keyOf(webhook));
};

const showLog = async (webhook) => {
  const counts = await ask('GET', `/api/webhooks/${webhook.id}/counts`);
  $('counts').textContent = `In 24 hours: ${counts.delivered} delivered, ${counts.pending} pending, ${counts.dead} dead.`;
  await log.show(webhook.id, { status: $('status-filter').value, event: $('event-filter').value });
};

const open = async () => {
  const webhook = opened();
  $('one').hidden = !webhook;
  if (!webhook) return;
  $('one-title').textContent = webhook.webhook_url;
  $('pause').textContent = isOn(webhook) ? 'Pause' : 'Have it work again';
  $('pair').textContent = webhook.public_key ? 'Drop the key pair' : 'Add a key pair';
  $('test').textContent = webhook.state === 'unverified' ? 'Send a ping' : 'Send a test';
  $('change-url').value = webhook.webhook_url;
  choices($('change-events'), webhook.events);
  showState(webhook);
  await showLog(webhook);
};

const load = async () => {
  ({ webhooks } = await ask('GET', '/api/webhooks'));
  $('list').replaceChildren(...(webhooks.length ? webhooks.map(card) : [element('li', { textContent: 'None yet.' })]));
  await open();
};

const prepare = async () => {
  const [{ paths }, { spaces }] = await Promise.all([ask('GET', '/openapi.json'), ask('GET', '/api/spaces?limit=50')]);
  const { schema } = paths['/api/webhooks/subscribe'].post.requestBody.content['application/json'];
  events = schema.properties.events.items.enum;
  choices($('events'), ['chat']);
  $('event-filter').append(...events.map((event) => element('option', { textContent: event })));
  $('spaces').replaceChildren(...spaces.map((space) => element('option', { value: `${space.space_type}:${space.space_id}` })));
};

const moderated = new ModeratedWebhooks($('moderated'), { doing, sure, ended: load });

const show = async () => {
  const name = account();
  $('login').hidden = Boolean(name);
  $('mine').hidden = !name;
  $('who').textContent = name ?? '';
  showSecret(null);
  if (!name) {
    $('list').replaceChildren();
    $('log').replaceChildren();
    moderated.clear();
    $('one').hidden = true;
    return;
  }
  await load();
};

const changed = async (fields) => {
  await ask('PATCH', `/api/webhooks/${opened().id}`, fields);
  await load();
};

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    await logIn($('account').value.trim().replace(/^@/, '').toLowerCase());
    await show();
  });
});

$('logout').addEventListener('click', (event) => doing(event.target, async () => {
  await logOut();
  await show();
}));

$('subscribe').addEventListener('submit', (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    const [type, ...id] = $('space').value.trim().split(':');
    const fields = { space_type: type, space_id: id.join(':'), webhook_url: $('url').value, events: chosen($('events')), asymmetric: $('asymmetric').checked };
    const made = await ask('POST', '/api/webhooks/subscribe', fields);
    $('new').open = false;
    window.location.hash = made.subscription.id;
    await load();
    showSecret(made.secret);
  });
});

$('pause').addEventListener('click', (event) => doing(event.target, () => changed({ paused: isOn(opened()) })));

$('change').addEventListener('submit', (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    await changed({ webhook_url: $('change-url').value, events: chosen($('change-events')) });
    say('Saved.');
  });
});

$('test').addEventListener('click', (event) => doing(event.target, async () => {
  const tested = await ask('POST', `/api/webhooks/${opened().id}/test`, {});
  const came = `${tested.event}: ${tested.error ?? `HTTP ${tested.status_code}`} (${tested.duration_ms} ms)`;
  $('answer').hidden = false;
  $('answer').textContent = tested.answer ? `${came}\n\n${tested.answer}` : came;
  if (tested.event === 'ping') await load();
}));

$('rotate').addEventListener('click', (event) => doing(event.target, async () => {
  if (!await sure('Make a new secret? The one it has signs too for 24 hours.')) return;
  const rotated = await ask('POST', `/api/webhooks/${opened().id}/rotate-secret`, {});
  await load();
  showSecret(rotated.secret);
}));

$('pair').addEventListener('click', (event) => doing(event.target, async () => {
  const has = Boolean(opened().public_key);
  if (has && !await sure('Drop the key pair? Who verifies by its public key cannot any more; another pair is another key.')) return;
  await changed({ asymmetric: !has });
}));

$('moderate').addEventListener('submit', (event) => {
  event.preventDefault();
  doing(event.submitter, () => moderated.show($('moderated-space').value.trim()));
});

$('remove').addEventListener('click', (event) => doing(event.target, async () => {
  if (!await sure('Delete this webhook, with its log and what is pending for it?')) return;
  await ask('DELETE', `/api/webhooks/${opened().id}`, {});
  window.location.hash = '';
  await load();
}));

const range = () => ({
  since: new Date($('since').value).toISOString(),
  until: new Date($('until').value).toISOString(),
  status: $('range-status').value,
});

const redeliver = (fields) => ask('POST', `/api/webhooks/${opened().id}/redeliver`, { ...range(), ...fields });

$('range').addEventListener('input', () => { $('resend').hidden = true; });
$('range').addEventListener('submit', (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    const counted = await redeliver({ dry_run: true });
    say(`${counted.count} would be sent again${counted.left ? `, and ${counted.left} are too many for one time` : ''}.`);
    $('resend').hidden = !counted.count;
    $('resend').textContent = `Send ${counted.count} again`;
  });
});

$('resend').addEventListener('click', (event) => doing(event.target, async () => {
  const asked = await redeliver({ dry_run: false });
  $('resend').hidden = true;
  say(`${asked.count} are being sent again.`);
}));

$('filter').addEventListener('submit', (event) => {
  event.preventDefault();
  doing(event.submitter, () => showLog(opened()));
});

window.addEventListener('hashchange', () => {
  showSecret(null);
  $('answer').hidden = true;
  $('resend').hidden = true;
  doing(null, open);
});

doing(null, async () => {
  await prepare();
  await show();
});
