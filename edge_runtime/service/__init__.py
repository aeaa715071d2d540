"""The service: several sources listened to for months, as one TOML file says. `earmark run CONFIG.toml`."""
