package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// prepare gives a node its address, control group, disk and runtime.
func (n *node) prepare(f *family) error {
	// A node's address may not be 127.0.0.1, but may be on that interface.
	if err := shell("ip addr add " + n.address() + "/32 dev lo"); err != nil {
		return err
	}
	if err := makeCgroup(n.cgroup()); err != nil {
		return err
	}
	if err := n.prepareDisk(); err != nil {
		return err
	}
	return n.startContainerd(f)
}

// destroy ends a machine as losing its power does: at once and without a word, with everything on it.
func (n *node) destroy(f *family) error {
	if n.kubelet != nil {
		f.kill(n.kubelet)
	}
	f.kill(n.containerd)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		left := n.processes()
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	n.unmount()
	_ = shell("ip link delete " + n.bridge()) // there is none if no pod ever ran
	if err := shell("ip addr del " + n.address() + "/32 dev lo"); err != nil {
		return err
	}
	for _, dir := range []string{n.run(), n.dir()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return removeCgroup(n.cgroup(), 10*time.Second)
}

// processes finds the containers, by their control group, and the shims that watch them, by the socket
// that they were given.
func (n *node) processes() []int {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []int
	for _, file := range commands {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		command, _ := os.ReadFile(file)
		groups, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		if bytes.Contains(command, []byte(n.run()+"/")) || bytes.Contains(groups, []byte(n.cgroup()+"/")) {
			found = append(found, pid)
		}
	}
	return found
}

func (n *node) unmount() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if fields := strings.Fields(lines[i]); len(fields) > 1 && (strings.HasPrefix(fields[1], n.dir()+"/") || strings.HasPrefix(fields[1], n.run()+"/")) {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}
