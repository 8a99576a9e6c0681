# Sourced: where long commands run. local: here. slurm: trainings, decoding, cached frames and
# features and statistics go into a queue, each as a job; see docs/CLUSTER.md.

export cmd_backend=${cmd_backend:-local}
export slurm_cpus=${slurm_cpus:-4}        # cores per job, on each of its machines
export slurm_options=${slurm_options:-}   # of sbatch, e.g. "--partition gpu --gres gpu:2 --time 48:00:00"
# GPUs: --ngpu N asks for `--gres gpu:N` per training and one per decoding. --ngpu auto asks for none:
# a job then uses those that slurm_options ask for. What a job was given, it counts itself.
