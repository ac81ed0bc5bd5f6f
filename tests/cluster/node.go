package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// node is one kubelet with a containerd of its own: two kubelets on one containerd take each other's
// pods for orphans and kill them.
//
// What must not survive a crash is where nothing can survive: sockets and run-time state in the
// private /run, mounts and interfaces in the namespaces, images and volumes under DIR/nodes, which the
// janitor removes together with the control groups.
type node struct {
	name, labels, taints, providerID string
	index                            int // from 1: address 10.250.0.INDEX, pods in 10.244.INDEX.0/24, bridge podsINDEX

	tier                *realTier
	containerd, kubelet *child
	hasVolumeDisk       bool
}

func (n *node) address() string { return fmt.Sprintf("10.250.0.%d", n.index) }
func (n *node) dir() string     { return filepath.Join(n.tier.dir, "nodes", strconv.Itoa(n.index)) } // short: the kubelet has sockets below it

func (n *node) run() string    { return filepath.Join("/run", n.name) }
func (n *node) socket() string { return filepath.Join(n.run(), "containerd.sock") }
func (n *node) cgroup() string { return n.tier.cgroup + "/" + n.name }
func (n *node) bridge() string { return fmt.Sprintf("pods%d", n.index) }

// parseNode reads "n1 labels=a=b,c=d taints=k=v:NoSchedule provider-id=aws:///zone/i-1".
func parseNode(text string, index int) (*node, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || strings.Contains(fields[0], "=") {
		return nil, fmt.Errorf("--node %q: want a name, then labels=..., taints=... and provider-id=...", text)
	}
	n := &node{name: fields[0], index: index}
	for _, field := range fields[1:] {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "labels":
			n.labels = value
		case "taints":
			n.taints = value
		case "provider-id":
			n.providerID = value
		default:
			return nil, fmt.Errorf("--node %q: unknown field %q", text, key)
		}
	}
	return n, nil
}

// prepareDisk makes the directory of images and containers. Their file systems are overlays, which
// cannot lie on another overlay, as a container's root directory is: then they go to memory.
func (n *node) prepareDisk() error {
	dir := n.dir() + "/containerd"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	const overlay = 0x794c7630
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type == overlay {
		return syscall.Mount("tmpfs", dir, "tmpfs", 0, "")
	}
	return nil
}

// startContainerd starts the node's own containerd, for which every registry is the tests' one.
func (n *node) startContainerd(f *family) error {
	for _, dir := range []string{n.dir() + "/cni", n.dir() + "/opt", n.run()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	registries := n.dir() + "/registries"
	if err := os.MkdirAll(registries+"/_default", 0o755); err != nil {
		return err
	}
	server := "http://" + registryAddress
	hosts := fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", server, server)
	if err := os.WriteFile(registries+"/_default/hosts.toml", []byte(hosts), 0o644); err != nil {
		return err
	}
	config := fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = %[3]q
[ttrpc]
  address = %[4]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[5]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.test/pause:1"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE no score may be lowered
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %[6]q
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %[7]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = %[8]q
`, n.dir()+"/containerd", n.run()+"/containerd", n.socket(), n.socket()+".ttrpc", n.dir()+"/opt", n.dir()+"/cni", registries, n.run()+"/runc")
	file := filepath.Join(n.dir(), "containerd.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	network := fmt.Sprintf(`{"cniVersion":"0.4.0","name":"%[1]s","plugins":[
 {"type":"bridge","bridge":"%[1]s","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":%[2]q,"ranges":[[{"subnet":"10.244.%[3]d.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"loopback"}]}
`, n.bridge(), n.run()+"/addresses", n.index)
	if err := os.WriteFile(filepath.Join(n.dir(), "cni", "10-pods.conflist"), []byte(network), 0o644); err != nil {
		return err
	}
	var err error
	n.containerd, err = f.start("containerd-"+n.name, "containerd", exec.Command("containerd", "-c", file))
	return err
}

// importImages puts every image on the node, as soon as containerd answers.
func (n *node) importImages() error {
	for range 300 {
		if c, err := net.Dial("unix", n.socket()); err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, archive := range n.tier.images {
		// The socket is there before the image service answers on it.
		var out []byte
		var err error
		for range 50 {
			if out, err = exec.Command("ctr", "--address", n.socket(), "--namespace", "k8s.io", "images", "import", archive).CombinedOutput(); err == nil {
				break
			}
			if !bytes.Contains(out, []byte("connection")) && !bytes.Contains(out, []byte("not loaded")) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("importing %s: %w: %s", archive, err, out)
		}
	}
	return nil
}

// mountVolumeDisk gives the kubelet a small disk of its own, whose free space nobody else changes.
func (n *node) mountVolumeDisk() error {
	if n.tier.volumeDisk == 0 || n.hasVolumeDisk {
		return nil
	}
	dir := n.dir() + "/kubelet"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	n.hasVolumeDisk = true
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", n.tier.volumeDisk))
}

// startKubelet starts the kubelet, which registers the node.
func (n *node) startKubelet(f *family, p *controlPlane) error {
	if err := n.mountVolumeDisk(); err != nil {
		return err
	}
	leastVolume := "0%"
	if n.tier.volumeDisk > 0 {
		leastVolume = fmt.Sprintf("%dMi", n.tier.volumeDisk/3)
	}
	for _, dir := range []string{n.dir() + "/logs", n.dir() + "/kubelet"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	identity := "node-" + n.name
	if err := p.pki.issue(identity, "system:node:"+n.name, []string{"system:nodes"}, n.address(), "127.0.0.1", n.name); err != nil {
		return err
	}
	kubeconfig := filepath.Join(n.dir(), "kubeconfig")
	if err := p.pki.kubeconfig(kubeconfig, p.server, identity); err != nil {
		return err
	}
	config := fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: %q
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
address: %s
port: 10250
readOnlyPort: 0
healthzPort: 0
resolvConf: ""
clusterDNS: [10.96.0.10] # nobody is there; without, each pod gets a warning event
clusterDomain: cluster.local
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %q}}
authorization: {mode: Webhook}
tlsCertFile: %q
tlsPrivateKeyFile: %q
containerRuntimeEndpoint: %q
podLogsDir: %q
failSwapOn: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "1Mi", nodefs.available: %q, imagefs.available: "0%%", nodefs.inodesFree: "0%%"}
nodeStatusUpdateFrequency: 5s
nodeStatusReportFrequency: 5s
nodeLeaseDurationSeconds: 20
maxPods: 110
registerNode: true
serializeImagePulls: false
oomScoreAdj: 0
maxOpenFiles: 65536
volumePluginDir: %q
containerLogMaxSize: %s
containerLogMonitorInterval: %s
`, n.cgroup(), n.address(), p.pki.path("ca.crt"), p.pki.path(identity+".crt"), p.pki.path(identity+".key"),
		"unix://"+n.socket(), n.dir()+"/logs", leastVolume, n.dir()+"/volumeplugins", n.tier.logMaxSize, n.tier.logMonitorInterval) + n.tier.kubeletConfig
	file := filepath.Join(n.dir(), "kubelet.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	args := []string{"kubelet", "--config=" + file, "--kubeconfig=" + kubeconfig, "--root-dir=" + n.dir() + "/kubelet",
		"--hostname-override=" + n.name, "--node-ip=" + n.address(), "--v=2"}
	if n.labels != "" {
		args = append(args, "--node-labels="+n.labels)
	}
	if n.taints != "" {
		args = append(args, "--register-with-taints="+n.taints)
	}
	if n.providerID != "" {
		args = append(args, "--provider-id="+n.providerID)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n.kubelet, err = f.start("kubelet-"+n.name, "kubelet", exec.Command(self, args...))
	return err
}
