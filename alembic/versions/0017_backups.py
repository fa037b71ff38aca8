"""Who makes backups reads every table, of now and of later, and writes none.

A role of its own, so that no service can read what is another's secret. It makes databases too: for the drills, which
restore a backup beside the live one. Where the owner may not let it, the drills say so.
"""

from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: None = None
depends_on: None = None

ROLE = "presence_backup"
MAKERS = (  # of tables: who migrates, and each service that could make some
    "CURRENT_USER",
    "presence_spaces_auth",
    "presence_chat",
    "presence_sync_worker",
    "presence_webhook_dispatcher",
)
READ = {"TABLES": "SELECT", "SEQUENCES": "SELECT", "SCHEMAS": "USAGE"}
OURS = "nspname NOT IN ('information_schema', 'pg_catalog') AND nspname NOT LIKE 'pg\\_t%'"


def upgrade() -> None:
    op.execute(f"""
        DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
    """)
    op.execute(f"""
        DO $$ BEGIN ALTER ROLE {ROLE} CREATEDB;
        EXCEPTION WHEN insufficient_privilege THEN RAISE WARNING '{ROLE} cannot make databases for drills'; END $$
    """)
    op.execute(f"GRANT {ROLE} TO CURRENT_USER")
    _in_every_schema(f"GRANT USAGE ON SCHEMA %1$I TO {ROLE}")
    for kind in ("TABLES", "SEQUENCES"):
        _in_every_schema(f"GRANT SELECT ON ALL {kind} IN SCHEMA %1$I TO {ROLE}")
    for maker in MAKERS:
        for kind, right in READ.items():
            op.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE {maker} GRANT {right} ON {kind} TO {ROLE}")


def downgrade() -> None:
    """The role stays: it may be another database's too."""
    for maker in MAKERS:
        for kind, right in READ.items():
            op.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE {maker} REVOKE {right} ON {kind} FROM {ROLE}")
    for kind in ("TABLES", "SEQUENCES"):
        _in_every_schema(f"REVOKE SELECT ON ALL {kind} IN SCHEMA %1$I FROM {ROLE}")
    _in_every_schema(f"REVOKE USAGE ON SCHEMA %1$I FROM {ROLE}")


def _in_every_schema(statement: str) -> None:
    op.execute(f"""
        DO $$ DECLARE schema name; BEGIN
          FOR schema IN SELECT nspname FROM pg_namespace WHERE {OURS} LOOP
            EXECUTE format('{statement}', schema);
          END LOOP;
        END $$
    """)
