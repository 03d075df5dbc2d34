CREATE TABLE meta (
	"key" VARCHAR(60) NOT NULL,
	value TEXT NOT NULL,
	CONSTRAINT pk_meta PRIMARY KEY ("key")
)
;
CREATE TABLE lane (
	"key" VARCHAR(300) NOT NULL,
	kind VARCHAR(20) NOT NULL,
	due_at DATETIME,
	blocked_until DATETIME,
	failures INTEGER DEFAULT '0' NOT NULL,
	breaker TEXT,
	bucket TEXT,
	slow_s FLOAT DEFAULT '0' NOT NULL,
	paused BOOLEAN DEFAULT false NOT NULL,
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_lane PRIMARY KEY ("key")
)
;
CREATE INDEX ix_lane_kind_due_at ON lane (kind, due_at)
;
CREATE INDEX ix_lane_lease_owner ON lane (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE TABLE source (
	id INTEGER NOT NULL,
	name VARCHAR(100) NOT NULL,
	url TEXT NOT NULL,
	kind VARCHAR(20) NOT NULL,
	state VARCHAR(20) NOT NULL,
	profile VARCHAR(100),
	created_at DATETIME NOT NULL,
	due_at DATETIME,
	seen BIGINT DEFAULT '0' NOT NULL,
	etag TEXT,
	last_modified TEXT,
	first_polled_at DATETIME,
	polled_at DATETIME,
	ok_at DATETIME,
	new_at DATETIME,
	failures INTEGER DEFAULT '0' NOT NULL,
	last_error TEXT,
	rhythm TEXT,
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_source PRIMARY KEY (id),
	CONSTRAINT uq_source_name UNIQUE (name)
)
;
CREATE INDEX ix_source_lease_owner ON source (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE INDEX ix_source_state_due_at ON source (state, due_at)
;
CREATE TABLE page (
	id INTEGER NOT NULL,
	entry_id BIGINT NOT NULL,
	requested_url TEXT,
	final_url TEXT,
	status INTEGER NOT NULL,
	content_type TEXT,
	sha256 VARCHAR(64) NOT NULL,
	size INTEGER NOT NULL,
	body BLOB,
	place TEXT,
	fetched_at DATETIME NOT NULL,
	directives TEXT,
	CONSTRAINT pk_page PRIMARY KEY (id)
)
;
CREATE INDEX ix_page_entry_id ON page (entry_id)
;
CREATE TABLE robots (
	host VARCHAR(290) NOT NULL,
	rules BLOB NOT NULL,
	asked_at DATETIME NOT NULL,
	read_at DATETIME,
	CONSTRAINT pk_robots PRIMARY KEY (host)
)
;
CREATE TABLE doc (
	doc INTEGER NOT NULL,
	article_id VARCHAR(24) NOT NULL,
	day INTEGER NOT NULL,
	profile BLOB NOT NULL,
	CONSTRAINT pk_doc PRIMARY KEY (doc),
	CONSTRAINT uq_doc_article_id UNIQUE (article_id)
)
;
CREATE INDEX ix_doc_day ON doc (day)
;
CREATE TABLE term (
	term BIGINT NOT NULL,
	n BIGINT NOT NULL,
	CONSTRAINT pk_term PRIMARY KEY (term)
)
 WITHOUT ROWID
;
CREATE TABLE sig (
	term BIGINT NOT NULL,
	day INTEGER NOT NULL,
	doc BIGINT NOT NULL,
	weight FLOAT NOT NULL,
	CONSTRAINT pk_sig PRIMARY KEY (term, day, doc)
)
 WITHOUT ROWID
;
CREATE TABLE fp (
	hash BIGINT NOT NULL,
	day INTEGER NOT NULL,
	doc BIGINT NOT NULL,
	CONSTRAINT pk_fp PRIMARY KEY (hash, day, doc)
)
 WITHOUT ROWID
;
CREATE TABLE link (
	article_id VARCHAR(24) NOT NULL,
	other_id VARCHAR(24) NOT NULL,
	relation VARCHAR(20) NOT NULL,
	score FLOAT NOT NULL,
	method VARCHAR(40) NOT NULL,
	version VARCHAR(40) NOT NULL,
	as_of DATETIME NOT NULL,
	reasons TEXT NOT NULL,
	CONSTRAINT pk_link PRIMARY KEY (article_id, other_id)
)
;
CREATE INDEX ix_link_other_id ON link (other_id)
;
CREATE TABLE story (
	id VARCHAR(24) NOT NULL,
	created_at DATETIME NOT NULL,
	size INTEGER NOT NULL,
	merged_into VARCHAR(24),
	CONSTRAINT pk_story PRIMARY KEY (id)
)
;
CREATE TABLE category (
	article_id VARCHAR(24) NOT NULL,
	scheme VARCHAR(60) NOT NULL,
	code VARCHAR(120) NOT NULL,
	label TEXT NOT NULL,
	method VARCHAR(20) NOT NULL,
	version VARCHAR(40) NOT NULL,
	score FLOAT NOT NULL,
	reasons TEXT NOT NULL,
	suggestion BOOLEAN DEFAULT false NOT NULL,
	CONSTRAINT pk_category PRIMARY KEY (article_id, scheme, code)
)
;
CREATE INDEX ix_category_scheme_code ON category (scheme, code)
;
CREATE TABLE ruling (
	article_id VARCHAR(24) NOT NULL,
	kind VARCHAR(20) NOT NULL,
	"key" VARCHAR(200) NOT NULL,
	verdict VARCHAR(40) NOT NULL,
	category TEXT DEFAULT '' NOT NULL,
	at DATETIME NOT NULL,
	CONSTRAINT pk_ruling PRIMARY KEY (article_id, kind, "key")
)
;
CREATE INDEX ix_ruling_kind_verdict ON ruling (kind, verdict)
;
CREATE TABLE taxonomy (
	scheme VARCHAR(60) NOT NULL,
	title TEXT NOT NULL,
	terms INTEGER NOT NULL,
	body BLOB NOT NULL,
	changed_at DATETIME NOT NULL,
	CONSTRAINT pk_taxonomy PRIMARY KEY (scheme)
)
;
CREATE TABLE model (
	id INTEGER NOT NULL,
	scheme VARCHAR(60) NOT NULL,
	trained_at DATETIME NOT NULL,
	version VARCHAR(40) NOT NULL,
	figures TEXT NOT NULL,
	body BLOB NOT NULL,
	kept BOOLEAN DEFAULT true NOT NULL,
	note TEXT DEFAULT '' NOT NULL,
	CONSTRAINT pk_model PRIMARY KEY (id)
)
;
CREATE INDEX ix_model_scheme ON model (scheme)
;
CREATE TABLE status (
	article_id VARCHAR(24) NOT NULL,
	source_id BIGINT NOT NULL,
	section TEXT NOT NULL,
	at DATETIME NOT NULL,
	value VARCHAR(12) NOT NULL,
	CONSTRAINT pk_status PRIMARY KEY (article_id)
)
;
CREATE INDEX ix_status_source_id_section_at ON status (source_id, section, at)
;
CREATE INDEX ix_status_known ON status (source_id, section, at, article_id) WHERE value <> 'unknown'
;
CREATE TABLE event_head (
	id INTEGER NOT NULL,
	n BIGINT NOT NULL,
	epoch BIGINT NOT NULL,
	planned BIGINT NOT NULL,
	CONSTRAINT pk_event_head PRIMARY KEY (id)
)
;
CREATE TABLE event (
	number BIGINT NOT NULL,
	kind VARCHAR(40) NOT NULL,
	article_id VARCHAR(24) NOT NULL,
	revision INTEGER NOT NULL,
	occurrence INTEGER DEFAULT '0' NOT NULL,
	backfill BOOLEAN NOT NULL,
	at DATETIME NOT NULL,
	detail TEXT,
	CONSTRAINT pk_event PRIMARY KEY (number),
	CONSTRAINT uq_event_article_id_revision_kind_occurrence UNIQUE (article_id, revision, kind, occurrence)
)
;
CREATE TABLE event_past (
	article_id VARCHAR(24) NOT NULL,
	kind VARCHAR(40) NOT NULL,
	n INTEGER NOT NULL,
	CONSTRAINT pk_event_past PRIMARY KEY (article_id, kind)
)
;
CREATE TABLE partner (
	id INTEGER NOT NULL,
	name VARCHAR(100) NOT NULL,
	state VARCHAR(20) NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT pk_partner PRIMARY KEY (id),
	CONSTRAINT uq_partner_name UNIQUE (name)
)
;
CREATE TABLE attempt (
	id INTEGER NOT NULL,
	delivery_id BIGINT NOT NULL,
	endpoint_id BIGINT NOT NULL,
	number INTEGER NOT NULL,
	at DATETIME NOT NULL,
	duration_ms INTEGER NOT NULL,
	outcome VARCHAR(20) NOT NULL,
	status INTEGER,
	reason VARCHAR(60),
	response TEXT,
	chain VARCHAR(64) NOT NULL,
	CONSTRAINT pk_attempt PRIMARY KEY (id)
)
;
CREATE INDEX ix_attempt_delivery_id ON attempt (delivery_id)
;
CREATE INDEX ix_attempt_endpoint_id_at ON attempt (endpoint_id, at)
;
CREATE TABLE heartbeat (
	worker VARCHAR(120) NOT NULL,
	kind VARCHAR(20) NOT NULL,
	at DATETIME NOT NULL,
	size INTEGER,
	CONSTRAINT pk_heartbeat PRIMARY KEY (worker)
)
;
CREATE TABLE audit (
	id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	who VARCHAR(100) NOT NULL,
	action VARCHAR(60) NOT NULL,
	target TEXT NOT NULL,
	reason TEXT NOT NULL,
	CONSTRAINT pk_audit PRIMARY KEY (id)
)
;
CREATE TABLE account (
	id INTEGER NOT NULL,
	name VARCHAR(60) NOT NULL,
	role VARCHAR(20) NOT NULL,
	state VARCHAR(20) NOT NULL,
	password TEXT,
	invite_hash VARCHAR(64),
	invite_until DATETIME,
	created_at DATETIME NOT NULL,
	seen_at DATETIME,
	CONSTRAINT pk_account PRIMARY KEY (id),
	CONSTRAINT uq_account_name UNIQUE (name),
	CONSTRAINT uq_account_invite_hash UNIQUE (invite_hash)
)
;
CREATE TABLE token (
	id INTEGER NOT NULL,
	name VARCHAR(60) NOT NULL,
	token_hash VARCHAR(64) NOT NULL,
	scopes TEXT NOT NULL,
	created_by VARCHAR(100) NOT NULL,
	created_at DATETIME NOT NULL,
	until DATETIME,
	used_at DATETIME,
	revoked_at DATETIME,
	CONSTRAINT pk_token PRIMARY KEY (id),
	CONSTRAINT uq_token_name UNIQUE (name),
	CONSTRAINT uq_token_token_hash UNIQUE (token_hash)
)
;
CREATE TABLE access_key (
	id INTEGER NOT NULL,
	kind VARCHAR(10) NOT NULL,
	owner_id BIGINT NOT NULL,
	digest VARCHAR(64) NOT NULL,
	sealed TEXT,
	created_at DATETIME NOT NULL,
	revoked_at DATETIME,
	CONSTRAINT pk_access_key PRIMARY KEY (id),
	CONSTRAINT uq_access_key_digest UNIQUE (digest)
)
;
CREATE INDEX ix_access_key_kind_owner_id ON access_key (kind, owner_id)
;
CREATE TABLE feed_state (
	endpoint_id BIGINT NOT NULL,
	subscription_id BIGINT DEFAULT '0' NOT NULL,
	digest VARCHAR(64) NOT NULL,
	changed_at DATETIME NOT NULL,
	CONSTRAINT pk_feed_state PRIMARY KEY (endpoint_id, subscription_id)
)
;
CREATE TABLE hub (
	id INTEGER NOT NULL,
	pair_hash VARCHAR(64) NOT NULL,
	topic TEXT NOT NULL,
	callback TEXT NOT NULL,
	format VARCHAR(20) NOT NULL,
	parent_id BIGINT NOT NULL,
	subscription_id BIGINT,
	endpoint_id BIGINT,
	wanted VARCHAR(12),
	wanted_s INTEGER NOT NULL,
	wanted_secrets TEXT NOT NULL,
	expires_at DATETIME,
	due_at DATETIME,
	failures INTEGER DEFAULT '0' NOT NULL,
	reason TEXT,
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_hub PRIMARY KEY (id),
	CONSTRAINT uq_hub_pair_hash UNIQUE (pair_hash)
)
;
CREATE INDEX ix_hub_endpoint_id ON hub (endpoint_id)
;
CREATE INDEX ix_hub_lease_owner ON hub (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE INDEX ix_hub_due_at ON hub (due_at)
;
CREATE TABLE switch (
	"key" VARCHAR(40) NOT NULL,
	at DATETIME NOT NULL,
	who VARCHAR(100) NOT NULL,
	reason TEXT DEFAULT '' NOT NULL,
	CONSTRAINT pk_switch PRIMARY KEY ("key")
)
;
CREATE TABLE pool (
	kind VARCHAR(20) NOT NULL,
	size INTEGER NOT NULL,
	at DATETIME NOT NULL,
	who VARCHAR(100) NOT NULL,
	CONSTRAINT pk_pool PRIMARY KEY (kind)
)
;
CREATE TABLE alert (
	"key" VARCHAR(200) NOT NULL,
	text TEXT NOT NULL,
	href TEXT NOT NULL,
	began_at DATETIME NOT NULL,
	seen_at DATETIME NOT NULL,
	ended_at DATETIME,
	told_at DATETIME,
	end_told_at DATETIME,
	CONSTRAINT pk_alert PRIMARY KEY ("key")
)
;
CREATE TABLE notice (
	id INTEGER NOT NULL,
	channel VARCHAR(20) NOT NULL,
	body BLOB NOT NULL,
	made_at DATETIME NOT NULL,
	due_at DATETIME,
	sent_at DATETIME,
	failures INTEGER DEFAULT '0' NOT NULL,
	error TEXT,
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_notice PRIMARY KEY (id)
)
;
CREATE INDEX ix_notice_due_at ON notice (due_at)
;
CREATE INDEX ix_notice_lease_owner ON notice (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE TABLE entry (
	id INTEGER NOT NULL,
	source_id INTEGER NOT NULL,
	key_hash VARCHAR(64) NOT NULL,
	url TEXT,
	host VARCHAR(290),
	item BLOB NOT NULL,
	item_hash VARCHAR(64) NOT NULL,
	state VARCHAR(20) NOT NULL,
	step VARCHAR(10),
	due_at DATETIME,
	seen_at DATETIME NOT NULL,
	backfill BOOLEAN NOT NULL,
	reason VARCHAR(60),
	detail TEXT,
	failures INTEGER DEFAULT '0' NOT NULL,
	gone_seen INTEGER DEFAULT '0' NOT NULL,
	etag TEXT,
	last_modified TEXT,
	mark VARCHAR(60),
	page_id BIGINT,
	held_page BIGINT,
	soft_gone INTEGER DEFAULT '0' NOT NULL,
	article_id VARCHAR(24),
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_entry PRIMARY KEY (id),
	CONSTRAINT uq_entry_source_id_key_hash UNIQUE (source_id, key_hash),
	CONSTRAINT fk_entry_source_id FOREIGN KEY(source_id) REFERENCES source (id)
)
;
CREATE INDEX ix_entry_article_id ON entry (article_id)
;
CREATE INDEX ix_entry_quarantined ON entry (source_id, reason) WHERE state = 'quarantined'
;
CREATE INDEX ix_entry_host_due_at ON entry (host, due_at) WHERE step = 'fetch'
;
CREATE INDEX ix_entry_due_at ON entry (due_at) WHERE step = 'extract'
;
CREATE INDEX ix_entry_source_id_state ON entry (source_id, state)
;
CREATE INDEX ix_entry_lease_owner ON entry (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE TABLE drift (
	source_id INTEGER NOT NULL,
	state BLOB NOT NULL,
	held_at DATETIME,
	why TEXT,
	examples TEXT,
	CONSTRAINT pk_drift PRIMARY KEY (source_id),
	CONSTRAINT fk_drift_source_id FOREIGN KEY(source_id) REFERENCES source (id)
)
;
CREATE INDEX ix_drift_held_at ON drift (held_at)
;
CREATE TABLE backfill (
	id INTEGER NOT NULL,
	source_id INTEGER NOT NULL,
	name TEXT NOT NULL,
	digest VARCHAR(64) NOT NULL,
	position BIGINT DEFAULT '0' NOT NULL,
	total BIGINT NOT NULL,
	taken BIGINT DEFAULT '0' NOT NULL,
	known BIGINT DEFAULT '0' NOT NULL,
	left_out BIGINT DEFAULT '0' NOT NULL,
	started_at DATETIME NOT NULL,
	ended_at DATETIME,
	CONSTRAINT pk_backfill PRIMARY KEY (id),
	CONSTRAINT uq_backfill_source_id_digest UNIQUE (source_id, digest),
	CONSTRAINT fk_backfill_source_id FOREIGN KEY(source_id) REFERENCES source (id)
)
;
CREATE TABLE article (
	id VARCHAR(24) NOT NULL,
	source_id INTEGER NOT NULL,
	identity VARCHAR(64) NOT NULL,
	url TEXT,
	source_item_id TEXT,
	state VARCHAR(20) NOT NULL,
	held BOOLEAN DEFAULT false NOT NULL,
	embargo_until DATETIME,
	revision INTEGER NOT NULL,
	enriched_revision INTEGER DEFAULT '0' NOT NULL,
	content_hash VARCHAR(64) NOT NULL,
	headline TEXT NOT NULL,
	language VARCHAR(12),
	section TEXT,
	published_at DATETIME,
	first_seen_at DATETIME NOT NULL,
	backfill BOOLEAN NOT NULL,
	story_id VARCHAR(24),
	due_at DATETIME,
	again BOOLEAN DEFAULT false NOT NULL,
	reason VARCHAR(60),
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_article PRIMARY KEY (id),
	CONSTRAINT fk_article_source_id FOREIGN KEY(source_id) REFERENCES source (id),
	CONSTRAINT uq_article_identity UNIQUE (identity)
)
;
CREATE INDEX ix_article_lease_owner ON article (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE INDEX ix_article_content_hash ON article (content_hash)
;
CREATE INDEX ix_article_withdrawn ON article (first_seen_at) WHERE state = 'withdrawn'
;
CREATE INDEX ix_article_due_at ON article (due_at) WHERE due_at IS NOT NULL
;
CREATE INDEX ix_article_held ON article (first_seen_at) WHERE held = 1
;
CREATE INDEX ix_article_published_at ON article (published_at)
;
CREATE INDEX ix_article_first_seen_at ON article (first_seen_at)
;
CREATE INDEX ix_article_stuck ON article (source_id, reason) WHERE due_at IS NULL AND enriched_revision < revision AND reason IS NOT NULL
;
CREATE INDEX ix_article_embargo_until ON article (embargo_until) WHERE embargo_until IS NOT NULL
;
CREATE INDEX ix_article_story_id ON article (story_id)
;
CREATE VIRTUAL TABLE article_words USING fts5(article_id, headline, url, prefix='2 3',
    tokenize="unicode61 remove_diacritics 2")
;
CREATE TRIGGER article_words_new AFTER INSERT ON article BEGIN
    INSERT INTO article_words(article_id, headline, url) VALUES (new.id, new.headline, new.url); END
;
CREATE TRIGGER article_words_changed AFTER UPDATE OF headline, url ON article
    WHEN old.headline IS NOT new.headline OR old.url IS NOT new.url BEGIN
    UPDATE article_words SET headline = new.headline, url = new.url WHERE rowid IN
    (SELECT rowid FROM article_words WHERE article_words MATCH 'article_id : "' || old.id || '"'); END
;
CREATE TRIGGER article_words_gone AFTER DELETE ON article BEGIN
    DELETE FROM article_words WHERE rowid IN
    (SELECT rowid FROM article_words WHERE article_words MATCH 'article_id : "' || old.id || '"'); END
;
CREATE TABLE endpoint (
	id INTEGER NOT NULL,
	partner_id INTEGER NOT NULL,
	kind VARCHAR(20) NOT NULL,
	url TEXT NOT NULL,
	format VARCHAR(20) NOT NULL,
	secrets TEXT NOT NULL,
	state VARCHAR(20) NOT NULL,
	reason TEXT,
	created_at DATETIME NOT NULL,
	joined_n BIGINT NOT NULL,
	backfilled BIGINT DEFAULT '0' NOT NULL,
	filtered BIGINT DEFAULT '0' NOT NULL,
	position BIGINT DEFAULT '0' NOT NULL,
	concurrency INTEGER DEFAULT '4' NOT NULL,
	chain VARCHAR(64) DEFAULT '' NOT NULL,
	chain_from VARCHAR(64) DEFAULT '' NOT NULL,
	per_minute INTEGER,
	layout TEXT,
	link_above INTEGER,
	history_since DATETIME,
	history_at BIGINT DEFAULT '0' NOT NULL,
	history_to BIGINT DEFAULT '0' NOT NULL,
	CONSTRAINT pk_endpoint PRIMARY KEY (id),
	CONSTRAINT fk_endpoint_partner_id FOREIGN KEY(partner_id) REFERENCES partner (id)
)
;
CREATE INDEX ix_endpoint_partner_id ON endpoint (partner_id)
;
CREATE TABLE session (
	token_hash VARCHAR(64) NOT NULL,
	account_id INTEGER NOT NULL,
	csrf VARCHAR(64) NOT NULL,
	created_at DATETIME NOT NULL,
	seen_at DATETIME NOT NULL,
	until DATETIME NOT NULL,
	CONSTRAINT pk_session PRIMARY KEY (token_hash),
	CONSTRAINT fk_session_account_id FOREIGN KEY(account_id) REFERENCES account (id)
)
;
CREATE INDEX ix_session_account_id ON session (account_id)
;
CREATE TABLE portal_session (
	token_hash VARCHAR(64) NOT NULL,
	key_id INTEGER NOT NULL,
	csrf VARCHAR(64) NOT NULL,
	created_at DATETIME NOT NULL,
	until DATETIME NOT NULL,
	CONSTRAINT pk_portal_session PRIMARY KEY (token_hash),
	CONSTRAINT fk_portal_session_key_id FOREIGN KEY(key_id) REFERENCES access_key (id)
)
;
CREATE INDEX ix_portal_session_key_id ON portal_session (key_id)
;
CREATE TABLE push (
	id VARCHAR(40) NOT NULL,
	source_id INTEGER NOT NULL,
	name_hash VARCHAR(64) NOT NULL,
	body_hash VARCHAR(64) NOT NULL,
	entry_id BIGINT NOT NULL,
	at DATETIME NOT NULL,
	CONSTRAINT pk_push PRIMARY KEY (id),
	CONSTRAINT uq_push_source_id_name_hash UNIQUE (source_id, name_hash),
	CONSTRAINT fk_push_source_id FOREIGN KEY(source_id) REFERENCES source (id)
)
;
CREATE TABLE websub (
	id INTEGER NOT NULL,
	source_id INTEGER NOT NULL,
	hub TEXT NOT NULL,
	topic TEXT NOT NULL,
	token VARCHAR(60) NOT NULL,
	secret TEXT NOT NULL,
	state VARCHAR(20) NOT NULL,
	expires_at DATETIME,
	due_at DATETIME,
	failures INTEGER DEFAULT '0' NOT NULL,
	reason TEXT,
	pushed_at DATETIME,
	lease_owner VARCHAR(120),
	lease_epoch BIGINT DEFAULT '0' NOT NULL,
	lease_until DATETIME,
	attempts INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_websub PRIMARY KEY (id),
	CONSTRAINT uq_websub_source_id UNIQUE (source_id),
	CONSTRAINT fk_websub_source_id FOREIGN KEY(source_id) REFERENCES source (id),
	CONSTRAINT uq_websub_token UNIQUE (token)
)
;
CREATE INDEX ix_websub_due_at ON websub (due_at)
;
CREATE INDEX ix_websub_lease_owner ON websub (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE TABLE revision (
	article_id VARCHAR(24) NOT NULL,
	revision INTEGER NOT NULL,
	kind VARCHAR(20) NOT NULL,
	record BLOB NOT NULL,
	annotations BLOB,
	content_hash VARCHAR(64) NOT NULL,
	page_id BIGINT,
	entry_id BIGINT,
	at DATETIME NOT NULL,
	CONSTRAINT pk_revision PRIMARY KEY (article_id, revision),
	CONSTRAINT fk_revision_article_id FOREIGN KEY(article_id) REFERENCES article (id)
)
;
CREATE TABLE subscription (
	id INTEGER NOT NULL,
	endpoint_id INTEGER NOT NULL,
	filter TEXT NOT NULL,
	backfill BOOLEAN NOT NULL,
	coalesce BOOLEAN NOT NULL,
	relinked BOOLEAN NOT NULL,
	status_changes BOOLEAN DEFAULT false NOT NULL,
	narrow TEXT DEFAULT '' NOT NULL,
	follow BOOLEAN DEFAULT true NOT NULL,
	CONSTRAINT pk_subscription PRIMARY KEY (id),
	CONSTRAINT fk_subscription_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoint (id)
)
;
CREATE INDEX ix_subscription_endpoint_id ON subscription (endpoint_id)
;
CREATE TABLE delivery (
	id INTEGER NOT NULL,
	endpoint_id INTEGER NOT NULL,
	event_number BIGINT NOT NULL,
	article_id VARCHAR(24) NOT NULL,
	revision INTEGER NOT NULL,
	kind VARCHAR(40) NOT NULL,
	occurrence INTEGER NOT NULL,
	webhook_id VARCHAR(64) NOT NULL,
	state VARCHAR(20) NOT NULL,
	position BIGINT,
	due_at DATETIME,
	begun INTEGER DEFAULT '0' NOT NULL,
	attempts INTEGER DEFAULT '0' NOT NULL,
	reason VARCHAR(60),
	delivered_at DATETIME,
	omitted TEXT,
	wanted_by TEXT,
	CONSTRAINT pk_delivery PRIMARY KEY (id),
	CONSTRAINT uq_delivery_endpoint_id_event_number UNIQUE (endpoint_id, event_number),
	CONSTRAINT uq_delivery_endpoint_id_position UNIQUE (endpoint_id, position),
	CONSTRAINT fk_delivery_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoint (id)
)
;
CREATE INDEX ix_delivery_endpoint_id_state ON delivery (endpoint_id, state)
;
CREATE INDEX ix_delivery_withdrawals ON delivery (endpoint_id, due_at) WHERE state = 'due' AND kind = 'article.withdrawn'
;
CREATE INDEX ix_delivery_quarantined ON delivery (endpoint_id, reason) WHERE state = 'quarantined'
;
CREATE INDEX ix_delivery_endpoint_id_due_at ON delivery (endpoint_id, due_at, position) WHERE state = 'due'
;
CREATE INDEX ix_delivery_article_id ON delivery (article_id)
;
CREATE INDEX ix_delivery_in_line ON delivery (endpoint_id, article_id, position) WHERE state = 'due'
;
CREATE INDEX ix_delivery_endpoint_id_article_id ON delivery (endpoint_id, article_id)
;
