"""Pykka actors on an asyncio loop; nothing here knows what a node is."""
