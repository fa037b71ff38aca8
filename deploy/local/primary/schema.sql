-- The primary's real shapes, as far as Presence reads them.
--
-- In the real primary the two document shapes live in different deployments under the same table names. Here one table
-- has the columns of both: a row uses those of its own shape and leaves the others null.

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

CREATE TABLE IF NOT EXISTS collaboration_documents (
    id             serial PRIMARY KEY,
    owner          varchar(16),   -- by (owner, permlink)
    permlink       varchar(255),
    document_name  varchar(255),
    title          varchar(255),  -- by id
    content        text,
    creator        varchar(16),
    is_public      boolean     NOT NULL DEFAULT false,
    is_deleted     boolean     NOT NULL DEFAULT false,
    edit_permissions    varchar(20) DEFAULT 'all' CHECK (edit_permissions IN ('creator_only', 'invited_only', 'all')),
    comment_permissions varchar(20) DEFAULT 'all' CHECK (comment_permissions IN ('creator_only', 'invited_only', 'all')),
    last_activity  timestamptz,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, permlink)
);
-- A demo primary made before these were read.
ALTER TABLE collaboration_documents ADD COLUMN IF NOT EXISTS edit_permissions varchar(20) DEFAULT 'all';
ALTER TABLE collaboration_documents ADD COLUMN IF NOT EXISTS comment_permissions varchar(20) DEFAULT 'all';

CREATE TABLE IF NOT EXISTS collaboration_permissions (
    document_id     integer REFERENCES collaboration_documents (id) ON DELETE CASCADE,  -- by id
    user_account    varchar(16),
    permission      varchar(16) CHECK (permission IN ('read', 'comment', 'edit', 'admin')),
    owner           varchar(16),                                                        -- by (owner, permlink)
    permlink        varchar(255),
    account         varchar(16),
    permission_type varchar(16) CHECK (permission_type IN ('readonly', 'editable', 'postable')),
    can_read        boolean,
    can_edit        boolean,
    granted_by      varchar(16),
    granted_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, user_account),
    UNIQUE (owner, permlink, account)
);

CREATE TABLE IF NOT EXISTS presence_permissions (
    space_type   varchar(16)  NOT NULL,
    space_id     varchar(255) NOT NULL,
    user_account varchar(16)  NOT NULL,
    permission   varchar(16)  NOT NULL CHECK (permission IN ('access', 'moderate', 'admin')),
    PRIMARY KEY (space_type, space_id, user_account, permission)
);
