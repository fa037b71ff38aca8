-- Documents by number: a deployment of the real primary whose documents have an id and a creator.

CREATE TABLE IF NOT EXISTS collaboration_documents (
    id             serial PRIMARY KEY,
    title          varchar(255),
    content        text,
    creator        varchar(16),
    is_public      boolean     NOT NULL DEFAULT false,
    is_deleted     boolean     NOT NULL DEFAULT false,
    edit_permissions    varchar(20) DEFAULT 'all' CHECK (edit_permissions IN ('creator_only', 'invited_only', 'all')),
    comment_permissions varchar(20) DEFAULT 'all' CHECK (comment_permissions IN ('creator_only', 'invited_only', 'all')),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS collaboration_permissions (
    id             serial PRIMARY KEY,
    document_id    integer REFERENCES collaboration_documents (id) ON DELETE CASCADE,
    user_account   varchar(16),
    permission     varchar(16) CHECK (permission IN ('read', 'comment', 'edit', 'admin')),
    granted_by     varchar(16),
    granted_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, user_account)
);
