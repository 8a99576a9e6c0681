# Sourced: where long commands run. local: here. slurm: in a queue, which is asked for slurm_cpus
# cores and --ngpu GPUs per training (auto: one), and for whatever slurm_options say besides.

export cmd_backend=${cmd_backend:-local}
export slurm_options=${slurm_options:-}  # e.g. "--partition gpu --time 48:00:00"
export slurm_cpus=${slurm_cpus:-4}
