"""kubectl tradingengine: a kubectl plugin for TradingEngines.

Law: `decide` and `render` are pure; `commands` put them together with `kubectl`, the only way to the cluster.
What a command needs is imported when it runs: the plugin starts without pydantic, YAML and templates.
"""
