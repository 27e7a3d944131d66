"""A real Kubernetes on one machine, for developing and testing, without a container engine or an image registry.

Law: the cluster is disposable, the machine is not. Whatever `up` makes (process, mount, namespace, cgroup, link) hangs
on one instance of the cluster and can be found and removed by `down` from the kernel's own records alone, after a crash
at any instant. What is slow to make (programs, images) is kept in the user's cache under the hash of what shapes it.
"""
