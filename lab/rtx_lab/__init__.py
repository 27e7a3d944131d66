"""A real Kubernetes on one machine for development and tests, without a container engine or an image registry.

Law: the cluster is disposable, the machine is not. Everything that `up` creates (process, mount, namespace, cgroup,
link) belongs to one instance. `down` finds and removes it from the kernel's records alone, after a crash at any time.
Programs and images are slow to build, so they are cached in the user's cache under a hash of their inputs.
"""
