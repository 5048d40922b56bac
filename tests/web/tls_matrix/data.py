"""Facts without behaviour: which client certificates which mode lets in, users with their hashes, headers, and
pieces of web configuration files. In those, "@/" stands for the folder with the certificates."""

# Client certificates x modes. "+" = HTTP 200 arrives, "-" = refused; TLS 1.2 and 1.3 must agree.
# Any* modes check no chain at all, so whatever has a usable key passes.
MODES = ["NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
         "RequireAndVerifyClientCert"]


CLIENTS = """
none              + + - + -  no certificate
signed            + + + + +  signed by the CA
chained           + + + + +  signed by an intermediate that is sent along
chained_alone     + + + - -  signed by an intermediate that is not sent along
selfca            + + + + +  self-signed, CA:TRUE, and itself in client_ca_file
othersigned       + + + - -  signed by a CA that is not in client_ca_file
otherself         + + + - -  self-signed, CA:TRUE, not in client_ca_file
expired           + + + - -  signed by the CA, expired
future            + + + - -  signed by the CA, not yet valid
servereku         + + + - -  signed by the CA, extendedKeyUsage serverAuth alone
bothekus          + + + + +  extendedKeyUsage serverAuth and clientAuth
anyeku            + + + + +  extendedKeyUsage anyExtendedKeyUsage
v1                + + + + +  X.509 v1, signed by the CA (openssl x509 -req without -extfile)
rsa               + + + + +  RSA 2048 key
ed25519           + + + + +  Ed25519 key
p521              + + + + +  P-521 key
critical          + + + - -  an unknown critical extension
caissuing         + + + + +  signed by the CA and itself CA:TRUE
"""
# These are trusted by being in client_ca_file in some unusual way; mode RequireAndVerifyClientCert.
ODD_ANCHORS = """
selfleaf          +  self-signed, CA:FALSE, itself in client_ca_file
selfexpired       -  self-signed, expired, itself in client_ca_file
selfserver        -  self-signed with serverAuth EKU alone, itself in client_ca_file
pinned            +  signed by an unknown CA, but the leaf itself is in client_ca_file
underinter        +  signed by an intermediate that is itself in client_ca_file, its root is not
underexpired      -  signed by an expired CA in client_ca_file
v1self            +  X.509 v1, self-signed, itself in client_ca_file
underv1           +  signed by an X.509 v1 CA in client_ca_file
othersigned       -  signed by a CA that is not in client_ca_file
"""

# bcrypt, cost 4 so that the run is fast; made with libxcrypt, the three prefixes that tools write
USERS = {
    "alice": ("correct horse", "$2y$04$4n59A5bkitin16Aksieffuskx9FlGV9iBPtu1ovhKvniELRBSmHsO"),
    "bob": ("pa:ss:word", "$2b$04$Dc8/lcoEhrykjc26AjvB6uhE3SuCLUv7S4zbZfrCFAS0G.nnUhhq2"),
    "jürgen": ("pässwörd€", "$2a$04$4abfftnq01wvlh14a0raiu6n3NmX0xU6pupaAjpPRYR5MuFvbPk0a"),
    "empty": ("", "$2y$04$jAcnneaAi4q6w.1Fw4oDjuNdUaRwnXRbPoNe2DlAplBWc/Gt0wGw6"),
    "long": ("a" * 72 + "bcdefgh", "$2b$04$BnuCp1kqCmylb57ah2mu8ul3eDVVsEvUrVyzch1QAC4xXgn83h6ja"),
    "": ("nameless", "$2y$04$dw34cnj1Bnc5vs/CBrxr9uOlrosqilFS//exUnMknCgbHIkxMcf2a"),
}
SECOND = "$2y$04$w2ul5EcBvtrC2EDE/Dwbhu1v2Qi16QHo66.EGGWPSxoPYzBed3BgO"  # of the password "second"


def users_yaml(*names):
    return "basic_auth_users:\n" + "".join(f'  "{n}": {USERS[n][1]}\n' for n in names or USERS)


HEADERS = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Frame-Options": "deny",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
HEADERS_YAML = "http_server_config:\n  headers:\n" + "".join(f'    {k}: "{v}"\n' for k, v in HEADERS.items())

# "@/" stands for the folder with the certificates
EC = "tls_server_config:\n  cert_file: @/server.pem\n  key_file: @/server.key\n"
RSA = "tls_server_config:\n  cert_file: @/rsaserver.pem\n  key_file: @/rsaserver.key\n"
VERIFY = EC + "  client_auth_type: RequireAndVerifyClientCert\n"
NO_H2 = "http_server_config:\n  http2: false\n"


def suites(*names):
    return "  cipher_suites:\n" + "".join(f"  - TLS_{n}\n" for n in names)


def curves(*names):
    return "  curve_preferences:\n" + "".join(f"  - {n}\n" for n in names)
