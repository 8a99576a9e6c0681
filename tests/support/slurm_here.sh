#!/usr/bin/env bash
# SLURM on this machine alone, as root, in a folder: `slurm_here.sh FOLDER [NODES]` runs until it is
# told to end; FOLDER/ready appears once jobs can be submitted, with SLURM_CONF=FOLDER/slurm.conf.
# Every node of it is this machine, with two cores and two files for GPUs. From Debian: slurm-wlm, munge.
set -euo pipefail
folder=$(cd "$1" && pwd)
nodes=${2:-2}
host=$(hostname -s)
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }

mkdir -p "${folder}"/{state,spool} && touch "${folder}"/gpu{0,1}
head -c 1024 /dev/urandom > "${folder}/munge.key" && chmod 400 "${folder}/munge.key"
cat > "${folder}/slurm.conf" <<CONF
ClusterName=here
SlurmctldHost=${host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$(port)
AuthType=auth/munge
AuthInfo=socket=${folder}/munge.socket
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool/%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd.%n.pid
SlurmctldLogFile=${folder}/slurmctld.log
SlurmdLogFile=${folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=3
GresTypes=gpu
CONF
echo "Name=gpu File=${folder}/gpu[0-1]" > "${folder}/gres.conf"
names=()
for number in $(seq "${nodes}"); do
    names+=("node${number}")
    echo "NodeName=node${number} NodeHostname=${host} NodeAddr=127.0.0.1 Port=$(port) CPUs=2 Gres=gpu:2" \
        >> "${folder}/slurm.conf"
done
all=$(IFS=,; echo "${names[*]}")
{
    echo "PartitionName=low Nodes=${all} Default=YES PriorityTier=1"
    echo "PartitionName=high Nodes=${all} PriorityTier=2"
} >> "${folder}/slurm.conf"

export SLURM_CONF=${folder}/slurm.conf
trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT
trap exit INT TERM
munged --foreground --force --socket="${folder}/munge.socket" --key-file="${folder}/munge.key" \
    --pid-file="${folder}/munged.pid" --log-file="${folder}/munged.log" \
    --seed-file="${folder}/munged.seed" &
until [ -S "${folder}/munge.socket" ]; do sleep 0.1; done
slurmctld -D -c > /dev/null 2>&1 &
for name in "${names[@]}"; do slurmd -D -N "${name}" > /dev/null 2>&1 & done
until [ "$(sinfo --noheader --Node --states idle --partition low 2> /dev/null | wc -l)" = "${nodes}" ]; do
    sleep 0.2
done
touch "${folder}/ready"
wait
