// The log of one webhook's deliveries: a page at a time, each with its attempts when it is opened.
import { element } from './element.js';
import { ask } from './session.js';
import { badge, moment } from './webhook-state.js';

const BADGES = { delivered: 'good', dead: 'bad', pending: '' };

const attempt = (one) => {
  const came = one.error ?? `HTTP ${one.status_code}`;
  const next = one.next_attempt_at ? `; next ${moment(one.next_attempt_at)}` : '';
  const line = `${moment(one.started_at)}: ${came} (${one.duration_ms} ms${one.by_hand ? ', by hand' : ''})${next}`;
  return element('li', {}, line, ...(one.answer ? [element('pre', { textContent: one.answer })] : []));
};

const pretty = (body) => {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
};

export class DeliveryLog {
  constructor(list, more, say) {
    this.list = list;
    this.more = more;
    this.say = say;
    more.addEventListener('click', () => this.next().catch((error) => say(error.message)));
  }

  async show(webhook, filters) {
    this.webhook = webhook;
    this.filters = filters;
    this.cursor = null;
    await this.next();
  }

  async next() {
    const begins = this.cursor === null;
    const asked = Object.entries({ ...this.filters, cursor: this.cursor }).filter(([, value]) => value);
    const webhook = this.webhook;
    const page = await ask('GET', `/api/webhooks/${webhook}/deliveries?${new URLSearchParams([['limit', '20'], ...asked])}`);
    if (webhook !== this.webhook) return;
    const items = page.deliveries.map((delivery) => this.item(delivery));
    if (begins) this.list.replaceChildren(...(items.length ? items : [element('li', { textContent: 'Nothing.' })]));
    else this.list.append(...items);
    this.cursor = page.next_cursor;
    this.more.hidden = !page.next_cursor;
  }

  item(delivery) {
    const summary = element('summary', {}, badge(delivery.status, BADGES[delivery.status]),
      `${delivery.event} · ${moment(delivery.created_at)}${delivery.last_error ? ` · ${delivery.last_error}` : ''}`);
    const inside = element('div');
    const details = element('details', {}, summary, inside);
    details.addEventListener('toggle', () => {
      if (details.open) this.open(delivery, inside).catch((error) => this.say(error.message));
    });
    return element('li', {}, details);
  }

  async open(delivery, inside) {
    const shown = await ask('GET', `/api/webhooks/${this.webhook}/deliveries/${delivery.id}`);
    const again = element('button', { type: 'button', className: 'quiet', textContent: 'Send again' });
    again.addEventListener('click', async () => {
      again.disabled = true;
      try {
        await ask('POST', `/api/webhooks/deliveries/${delivery.id}/redeliver`, {});
        this.say('It is being sent again. Look again in a moment.');
      } catch (error) {
        this.say(error.message);
      } finally {
        again.disabled = false;
      }
    });
    inside.replaceChildren(
      element('p', { className: 'faint', textContent: `${delivery.webhook_id} · number ${delivery.sequence}` }),
      element('pre', { textContent: shown.body === null ? 'You may not see this space any more.' : pretty(shown.body) }),
      element('ol', {}, ...shown.attempts.map(attempt)),
      again,
    );
  }
}
