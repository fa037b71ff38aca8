-- The primary's real tables, as far as Presence reads them, beside those of documents (documents_*.sql).

CREATE TABLE IF NOT EXISTS posts (
    author         varchar(16)  NOT NULL,
    permlink       varchar(255) NOT NULL,
    block          bigint       NOT NULL,
    votes          integer      NOT NULL DEFAULT 0,
    voteweight     bigint       NOT NULL DEFAULT 0,
    promote        bigint       NOT NULL DEFAULT 0,
    paid           boolean      NOT NULL DEFAULT false,
    type           varchar(32),
    rating         numeric(4, 2),
    ratings        integer      NOT NULL DEFAULT 0,
    raters         text,
    nsfw           boolean      NOT NULL DEFAULT false,
    sensitive      boolean      NOT NULL DEFAULT false,
    hidden         boolean      NOT NULL DEFAULT false,
    featured       boolean      NOT NULL DEFAULT false,
    flagged        boolean      NOT NULL DEFAULT false,
    flag_reason    text,
    moderated_by   varchar(16),
    moderated_at   timestamptz,
    remix_cid      varchar(64),
    license        varchar(32),
    tags           text[],
    PRIMARY KEY (author, permlink)
);

CREATE TABLE IF NOT EXISTS presence_permissions (
    space_type   varchar(16)  NOT NULL,
    space_id     varchar(255) NOT NULL,
    user_account varchar(16)  NOT NULL,
    permission   varchar(16)  NOT NULL CHECK (permission IN ('access', 'moderate', 'admin')),
    PRIMARY KEY (space_type, space_id, user_account, permission)
);

CREATE TABLE IF NOT EXISTS presence_events (
    id                    serial PRIMARY KEY,
    event_code            varchar(50)  NOT NULL UNIQUE,
    title                 varchar(255) NOT NULL,
    description           text,
    max_attendees         integer      DEFAULT 50,
    requires_subscription boolean      DEFAULT false,
    min_tier_required     integer,
    scheduled_start       timestamp,
    scheduled_end         timestamp,
    actual_start          timestamp,
    actual_end            timestamp,
    host_account          varchar(16)  NOT NULL,
    co_hosts              varchar(16)[] DEFAULT '{}',
    is_public             boolean      DEFAULT false,
    password_protected    boolean      DEFAULT false,
    event_password        varchar(255),
    status                varchar(20)  DEFAULT 'scheduled',
    created_at            timestamp    DEFAULT CURRENT_TIMESTAMP,
    updated_at            timestamp    DEFAULT CURRENT_TIMESTAMP
);
