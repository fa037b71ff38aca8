-- Documents by owner and permlink: a deployment of the real primary whose documents are of the collaboration server.

CREATE TABLE IF NOT EXISTS collaboration_documents (
    id             serial PRIMARY KEY,
    owner          varchar(50)  NOT NULL,
    permlink       varchar(255) NOT NULL,
    document_name  varchar(500) DEFAULT '',
    document_data  text,         -- what was written together: a Yjs state in base64
    is_public      boolean      NOT NULL DEFAULT false,
    last_activity  timestamptz,
    updated_at     timestamptz  NOT NULL DEFAULT now(),
    created_at     timestamptz  NOT NULL DEFAULT now(),
    UNIQUE (owner, permlink)
);
ALTER TABLE collaboration_documents ADD COLUMN IF NOT EXISTS document_data text;  -- where the table is an older one

CREATE TABLE IF NOT EXISTS collaboration_permissions (
    id              serial PRIMARY KEY,
    owner           varchar(50)  NOT NULL,
    permlink        varchar(255) NOT NULL,
    account         varchar(50)  NOT NULL,
    permission_type varchar(20)  DEFAULT 'readonly' CHECK (permission_type IN ('readonly', 'editable', 'postable')),
    can_read        boolean      DEFAULT true,
    can_edit        boolean      DEFAULT false,
    granted_by      varchar(50),
    granted_at      timestamptz  NOT NULL DEFAULT now(),
    UNIQUE (owner, permlink, account)
);
