-- Both shapes of documents at once: one table has the columns of both; a row uses those of its own shape and leaves the
-- others null. In the real primary they live in different deployments under the same table names.

CREATE TABLE IF NOT EXISTS collaboration_documents (
    id             serial PRIMARY KEY,
    owner          varchar(16),   -- by (owner, permlink)
    permlink       varchar(255),
    document_name  varchar(255),
    document_data  text,          -- what was written together: a Yjs state in base64
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
ALTER TABLE collaboration_documents ADD COLUMN IF NOT EXISTS document_data text;  -- where the table is an older one
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
