"""The only part that knows TRL's API. Everything else asks this package.

`offline` trains DPO and KTO, `ppo` trains PPO with what `scoring` wraps around a reward, `reward` fits reward models.
Import the module that you need: each pulls in only the TRL trainer that it uses.
"""
