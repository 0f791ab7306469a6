#!/bin/sh
# The container's start: migrate, make a federation key where one is missing, serve. Arguments are flags of `serve`.
set -eu
less-sync migrate up
if [ -n "${FEDERATION_DOMAIN:-}" ]; then
    less-sync federation-keygen --domain "$FEDERATION_DOMAIN" --if-missing
fi
exec less-sync serve "$@"
